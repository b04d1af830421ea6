"""Three ways to reach a provider that speaks the OpenAI protocol."""
