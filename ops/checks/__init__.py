"""What the doctor looks at: each check takes the settings and says what it finds, within a few seconds."""
