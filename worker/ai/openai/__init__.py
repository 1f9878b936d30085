"""The OpenAI provider, and with it any server that speaks OpenAI's protocol (`OPENAI_BASE_URL`)."""
