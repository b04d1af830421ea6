// What somebody has written, as a bubble: on its way, there, or failed.

const template = document.getElementById("question-template");

export class Question {
  node = template.content.firstElementChild.cloneNode(true);

  constructor(text) {
    this.text = text;
    this.node.querySelector(".question-text").textContent = text;
  }

  /** Let its writer take it back, as long as it was not sent; where it is about to be, it is not. */
  set onEdit(onEdit) {
    const button = this.node.querySelector("[data-do=edit]");
    button.hidden = !onEdit;
    button.onclick = onEdit;
  }

  /** "sending", "sent" or "failed". */
  set state(state) {
    this.node.dataset.state = state;
  }

  get state() {
    return this.node.dataset.state;
  }
}
