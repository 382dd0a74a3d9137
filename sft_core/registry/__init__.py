"""From a trained model to a served one: promotion, the model card, serving, and verification of what was stored.

    decide(gate, challenger, champion)   # → Verdict(is_champion=False, reason="eval_loss 0.31 against 0.29 of …")
    ChatModel(folder).answer([{"role": "user", "content": "2 + 2"}])   # what MLflow runs for a registered model

What always holds: a served model gets exactly the prompt that it was trained on (`chat_prompts`), answers with the code
that is stored with it, and is registered only after a process of its own has loaded it and found the logits of training
(`verification`). `serving` imports as little as possible: all that it imports is stored with each model.
"""
