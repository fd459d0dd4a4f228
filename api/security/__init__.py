"""Who may use the gateway: authentication, authorization, and protection of browsers' users."""
