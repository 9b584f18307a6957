"""What is wrong with a box and its site, and what to do about it.

`findings.py`: what a check gives; `box.py`: GPU, libraries, clock, disk, folders, endpoints; `cameras.py`: every
camera, opened, and its calibration; `sandbox.py`: the same under the service's own user, sandbox and credentials;
`report.py`: one file for a bug report; `examination.py`: all of it in order.
"""

from spoton_edge.doctor.examination import examine
from spoton_edge.doctor.findings import Finding
from spoton_edge.doctor.report import write_report
from spoton_edge.doctor.sandbox import examine_as_service, unit_of

__all__ = ["Finding", "examine", "examine_as_service", "unit_of", "write_report"]
