"""Plans and who is on which. Invoices and payments come with the payment providers."""
