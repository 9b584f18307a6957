"""Who may speak on a site of many boxes: a key and an account a box, the site's certificates, the servers' configs."""

from spoton_edge.enrolment.enrolment import FOLDER, Place, enroll, revoke

__all__ = ["FOLDER", "Place", "enroll", "revoke"]
