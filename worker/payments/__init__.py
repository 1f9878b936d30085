"""Payment gateways: one module each, and here the choice of the one that the settings name."""
