"""The login node behind an Airflow ``ssh`` connection: one kept connection, few channels, nothing assumed.

    node      what the connection says: a `LoginNode`
    login     asyncssh logs in, by way of jump hosts
    refusals  why a login failed, and what to do
    openssh   or: commands go through the socket of the user's own OpenSSH
    shell     `SshShell`, the `Shell` of this project, over one of the two
    pace      how often a process logs in

asyncssh is imported when it is needed: Airflow reads the Dag files, and hence this, in a new process again and again.
"""
