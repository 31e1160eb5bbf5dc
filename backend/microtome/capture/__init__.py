"""The single pass: batches, devices, scratch files; recorders that merge; what questions share."""
