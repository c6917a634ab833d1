"""The shared MLP: its layers, losses, optimizers and training loop."""
