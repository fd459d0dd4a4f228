"""The patients: UCI's files and those of users, downloaded, read, checked and described."""
