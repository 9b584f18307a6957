"""What can go wrong, each with the exit code that the command line and the service end with."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `spoton-edge`; the systemd unit does not restart on `USAGE` and `MISSING`."""

    STOPPED = 0
    UNEXPECTED = 1
    USAGE = 2
    ENGINE_LOST = 3
    MISSING = 4


class SpotOnError(Exception):
    """Base of every error that is the user's or the machine's to mend; its text is one line and names the remedy."""

    exit_code = ExitCode.UNEXPECTED


class UsageError(SpotOnError):
    """A command line that asks for what cannot be done."""

    exit_code = ExitCode.USAGE


class ConfigError(SpotOnError):
    """A site file that cannot be used; `problems` has one line for each fault, with file, line, key and remedy."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CameraError(SpotOnError):
    """A source that cannot be used as the site file has it."""

    exit_code = ExitCode.USAGE


class CredentialError(SpotOnError):
    """A login that the configuration names and the machine does not have."""

    exit_code = ExitCode.MISSING


class MissingExtraError(SpotOnError):
    """A verb or a setting needs an optional dependency that is not installed."""

    exit_code = ExitCode.MISSING


class ModelError(SpotOnError):
    """A model file that is missing, damaged or not what its manifest says."""

    exit_code = ExitCode.MISSING


class EngineError(SpotOnError):
    """The inference engine failed while running; a restart may mend it."""

    exit_code = ExitCode.ENGINE_LOST


class PublishError(SpotOnError):
    """An endpoint that cannot be bound."""

    exit_code = ExitCode.USAGE


class KeysError(SpotOnError):
    """Keys of encrypted endpoints that are missing, unreadable or readable by others."""

    exit_code = ExitCode.MISSING


class StateError(SpotOnError):
    """A state file that cannot be kept."""

    exit_code = ExitCode.MISSING


class NotReadyError(SpotOnError):
    """The daemon cannot answer now; it may in a moment."""
