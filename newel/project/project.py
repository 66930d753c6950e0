"""The project as one value: its revisions, its environments, and the one it works for now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from newel.project.environments import Environment, Environments, Policy, load_environments
from newel.project.graph import Revision, load_revisions
from newel.project.settings import Settings, load_settings


@dataclass(frozen=True)
class Project:
    """A migration project on disk, read by names alone: no SQL file has been opened."""

    root: Path
    revisions: tuple[Revision, ...]
    """Every revision of the tree in number order."""
    environments: Environments
    settings: Settings

    @property
    def environment(self) -> Environment:
        """The environment that commands work for."""
        return self.environments.get(self.settings.environment)

    def on_throwaway(self) -> Project:
        """Return the project for a throwaway database: nobody approves it, backs it up or waits for its window."""
        policy = Policy(skip_validation=True)
        by_name = {
            name: replace(environment, policy=policy)
            for name, environment in self.environments.by_name.items()
        }
        return replace(
            self,
            environments=replace(self.environments, by_name=by_name),
            settings=replace(self.settings, connection=None),
        )

    def backed_up(self) -> Project:
        """Return the project for a run that needs no backup of its own, whatever the policy says."""
        policy = replace(self.environment.policy, backup_required=False)
        own = {self.settings.environment: replace(self.environment, policy=policy)}
        by_name = {**self.environments.by_name, **own}
        return replace(self, environments=replace(self.environments, by_name=by_name))

    @property
    def environment_revisions(self) -> tuple[Revision, ...]:
        """The revisions of that environment in order of work."""
        return self.environments.revisions(self.settings.environment, self.revisions)


def load_project(root: Path, environ: Mapping[str, str], env: str | None = None) -> Project:
    """Read the project in `root` for the environment that `env` or the variables name.

    Raises NewelError and its kinds for whatever is wrong with names, environments.json or settings.
    """
    environments = load_environments(root)
    return Project(root, load_revisions(root), environments, load_settings(root, environments, environ, env))
