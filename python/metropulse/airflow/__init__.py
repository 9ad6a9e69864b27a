"""The Apache Airflow provider: operators, a sensor, a trigger and a hook over `metropulse.Pipeline`.

This package is the only place that imports Airflow. It holds no business rule: it resolves the day and the
connections, calls one verb, and returns a small JSON report. The native core and the embedded engines are imported
inside ``execute`` alone, because Airflow imports the modules here in processes that fork.
"""
