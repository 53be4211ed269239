"""What is measured: the user's systems, the anchors and the reference, as clips of one length."""
