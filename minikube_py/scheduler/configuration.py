"""Profiles: which pods a scheduler is for, and what its plugins are told.

`profiles_from` reads a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) as far as it concerns
plugins: schedulerName, percentageOfNodesToScore (of the profile, or else of all), plugins.*.disabled, the
weights of enabled score plugins, and the arguments of NodeResourcesFit, NodeAffinity, PodTopologySpread and
InterPodAffinity. VolumeBinding's shape is of a feature that is off by default, and has no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py import collect
from minikube_py.meta import yaml
from minikube_py.meta.objects import Obj, dig
from minikube_py.scheduler.framework import Plugin
from minikube_py.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from minikube_py.scheduler.plugins.node_affinity import NodeAffinity
from minikube_py.scheduler.plugins.node_resources_fit import NodeResourcesFit, Scoring
from minikube_py.scheduler.plugins.pod_topology_spread import DEFAULTS, PodTopologySpread

DEFAULT_NAME = "default-scheduler"
PREEMPTION = "DefaultPreemption"


class BadConfiguration(ValueError):
    """A scheduler configuration that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One scheduler name with its plugins' settings."""

    name: str = DEFAULT_NAME
    scoring: Scoring = field(default_factory=Scoring)
    spread: tuple[tuple[str, int], ...] = DEFAULTS
    """The default topology spread constraints, as (topology key, maxSkew)."""
    hard_affinity_weight: int = 1
    added_affinity: Obj = field(default_factory=dict)
    """A node affinity that every pod of the profile has besides its own."""
    percentage: int = 0
    """The share of the nodes among which the best is looked for; 0: by how many there are."""
    disabled: frozenset[str] = frozenset()
    weights: Mapping[str, int] = field(default_factory=dict)

    @property
    def preempts(self) -> bool:
        return PREEMPTION not in self.disabled


def plugins_of(profile: Profile) -> list[Plugin]:
    """The profile's plugins, those that refuse cheapest first."""
    found: list[type[Plugin]] = collect.classes("minikube_py.scheduler.plugins", Plugin)
    made = [
        _make(plugin, profile)
        for plugin in sorted(found, key=lambda plugin: (plugin.order, plugin.__name__))
        if not {plugin.__name__, "*"} & profile.disabled
    ]
    for plugin in made:
        plugin.weight = profile.weights.get(type(plugin).__name__, plugin.weight)
    return made


def _make(plugin: type[Plugin], profile: Profile) -> Plugin:
    if plugin is NodeResourcesFit:
        return NodeResourcesFit(profile.scoring)
    if plugin is NodeAffinity:
        return NodeAffinity(profile.added_affinity)
    if plugin is PodTopologySpread:
        return PodTopologySpread(profile.spread)
    if plugin is InterPodAffinity:
        return InterPodAffinity(profile.hard_affinity_weight)
    return plugin()


def load(path: str) -> tuple[Profile, ...]:
    """The profiles of a configuration file (YAML or JSON); of no file, the default one.
    Errors: BadConfiguration, OSError."""
    if not path:
        return (Profile(),)
    try:
        found = yaml.load(Path(path).read_bytes())
    except yaml.YamlError as error:
        raise BadConfiguration(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise BadConfiguration(f"{path} is no KubeSchedulerConfiguration")
    return profiles_from(found)


def profiles_from(configuration: Obj) -> tuple[Profile, ...]:
    """The profiles of a KubeSchedulerConfiguration; without any, the default one. Errors: BadConfiguration."""
    if configuration.get("kind") != "KubeSchedulerConfiguration":
        raise BadConfiguration(f"kind is {configuration.get('kind')!r}, not KubeSchedulerConfiguration")
    profiles: list[Obj] = configuration.get("profiles") or [{}]
    try:
        found = tuple(_profile(one, configuration) for one in profiles)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadConfiguration(f"a profile cannot be read: {error}") from error
    names = [profile.name for profile in found]
    if len(set(names)) < len(names):
        raise BadConfiguration(f"several profiles are named {', '.join(sorted(names))}")
    return found


def _profile(given: Obj, configuration: Obj) -> Profile:
    arguments: Obj = {one["name"]: one.get("args") or {} for one in given.get("pluginConfig") or ()}
    points = (given.get("plugins") or {}).values()
    enabled = [one for point in points for one in point.get("enabled") or ()]
    return Profile(
        name=given.get("schedulerName") or DEFAULT_NAME,
        scoring=_scoring(dig(arguments, "NodeResourcesFit.scoringStrategy") or {}),
        spread=_spread(arguments.get("PodTopologySpread") or {}),
        hard_affinity_weight=int(dig(arguments, "InterPodAffinity.hardPodAffinityWeight", 1)),
        added_affinity=dig(arguments, "NodeAffinity.addedAffinity") or {},
        percentage=_percentage(given, configuration),
        disabled=frozenset(one["name"] for point in points for one in point.get("disabled") or ()),
        weights={one["name"]: int(one["weight"]) for one in enabled if one.get("weight")},
    )


def _percentage(*holders: Obj) -> int:
    """The percentageOfNodesToScore of the first that has one. Errors: ValueError."""
    found = next((one for holder in holders if (one := holder.get("percentageOfNodesToScore")) is not None), 0)
    if int(found) not in range(101):
        raise ValueError(f"percentageOfNodesToScore is {found}, not in the range [0, 100]")
    return int(found)


def _scoring(strategy: Obj) -> Scoring:
    resources = strategy.get("resources") or ({"name": "cpu"}, {"name": "memory"})
    points = dig(strategy, "requestedToCapacityRatio.shape") or ()
    return Scoring(
        strategy.get("type") or Scoring().type,
        tuple((one["name"], int(one.get("weight") or 1)) for one in resources),
        tuple((int(one["utilization"]), int(one["score"])) for one in points),
    )


def _spread(arguments: Obj) -> tuple[tuple[str, int], ...]:
    if arguments.get("defaultingType") != "List":
        return DEFAULTS
    return tuple((one["topologyKey"], int(one["maxSkew"])) for one in arguments.get("defaultConstraints") or ())
