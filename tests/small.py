"""The words of a run that trains in seconds, on generated text."""

SMALL = [
    "data=synthetic",
    "data.groups=300",
    "model.vocabulary=600",
    "model.hidden_size=32",
    "model.heads=2",
    "model.intermediate_size=64",
    "batch.size=16",
    "trainer.max_steps=12",
    "trainer.lr=3e-3",
]
