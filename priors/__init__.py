"""What is believed before data: elicited distributions and named, cited prior sets."""
