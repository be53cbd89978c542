"""Publishing: from workspace tables to a validated, split and sealed dataset version."""
