"""The settings of an Airflow that is to be broken."""

TRIGGERER_THRESHOLD = 8  # seconds of silence after which another triggerer takes over
# So that a fault is noticed in seconds, where an ordinary Airflow takes minutes; but not so soon that a scheduler that is
# merely slow, on two cores, is taken for dead (with a threshold of 10 s it reset its own tasks again and again).
INSTALLATION = "faults"
QUICK = {
    "SLURM_SWEEP__INSTALLATION": INSTALLATION,
    "API__MAXIMUM_PAGE_LIMIT": 1000,
    "CORE__PARALLELISM": 8,
    "CORE__DEFAULT_TASK_RETRY_DELAY": 6,
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 3600,
    "SCHEDULER__JOB_HEARTBEAT_SEC": 2,
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 30,
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 10,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 30,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 3,
    "SCHEDULER__TASK_QUEUED_TIMEOUT": 60,
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": 5,
    "TRIGGERER__JOB_HEARTBEAT_SEC": 1,
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": TRIGGERER_THRESHOLD,
    "WORKERS__MIN_HEARTBEAT_INTERVAL": 2,
    "SLURM_SWEEP__INTERVAL": 2,
}
