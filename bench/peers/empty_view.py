"""The floor: a Flask view that reads its JSON and answers at once, without a model."""

from flask import Flask, jsonify, request

application = Flask(__name__)


@application.post("/chat")
def chat():
    return jsonify({"response": request.get_json()["message"]})
