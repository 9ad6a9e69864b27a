"""The steps of a day in a DAG of one's own, and a mail when one of them fails: which file or check, why, what to do.

Any notifier of Airflow takes the place of the mail; the text is `failure_message(context)`. The mail goes through the
connection `smtp_default`.
"""

from __future__ import annotations

from datetime import timedelta
from html import escape

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG, Context

from metropulse.airflow.failures import failure_message
from metropulse.airflow.schedule import daily_schedule, first_day
from metropulse.airflow.task_group import MetropulseDayTaskGroup


def mail(context: Context) -> None:
    """Send what happened to the people on duty."""
    SmtpNotifier(
        from_email="airflow@example.org",
        to="duty@example.org",
        subject="{{ ti.dag_id }}.{{ ti.task_id }} failed",
        # The text may hold anything that stands in a file: it is neither markup nor a template.
        html_content="<pre>{% raw %}" + escape(failure_message(context)) + "{% endraw %}</pre>",
    )(context)


with DAG(
    "example_quality_mail",
    schedule=daily_schedule(),
    start_date=first_day("2024-01-01"),
    catchup=False,
    doc_md=__doc__,
    tags=["metropulse", "example"],
    max_active_runs=8,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
        "max_active_tis_per_dag": 4,
        "on_failure_callback": mail,
    },
) as dag:
    day = MetropulseDayTaskGroup()
