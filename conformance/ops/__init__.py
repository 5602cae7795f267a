"""One module per operator family; importing it registers its cases."""
