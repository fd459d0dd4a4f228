"""The patients: UCI's files and labelled files of users, downloaded, read, checked and described."""
