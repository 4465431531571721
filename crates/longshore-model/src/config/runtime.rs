//! What a container made from an image runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::{Error, MapAccess};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::json::{self, Entry, Extra, Fields, Known, Reading, Slot};

/// What a container made from an image runs, unless it is told otherwise.
///
/// `None` and an empty list differ where a builder has said so: an empty entrypoint takes away
/// that of the image below.
///
/// Source: image-spec v1.1.1 "Image Configuration", `config`. `Healthcheck`, `Shell`, `OnBuild` and
/// `StopTimeout` are Docker's; what else Docker writes, `Hostname` for example, is in `extra`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RuntimeConfig {
    /// `User`: who runs it, by name or number, `user[:group]`.
    pub user: Option<String>,
    /// `ExposedPorts`: the ports it listens on, `8080/tcp` for example.
    pub exposed_ports: BTreeSet<String>,
    /// `Env`: its environment, each `NAME=value`.
    pub env: Vec<String>,
    /// `Entrypoint`: the command, or what comes before it.
    pub entrypoint: Option<Vec<String>>,
    /// `Cmd`: the arguments of the entrypoint, or the command where there is none.
    pub cmd: Option<Vec<String>>,
    /// `Volumes`: the directories whose content belongs to the container, not to the image.
    pub volumes: BTreeSet<String>,
    /// `WorkingDir`: where it is run.
    pub working_dir: Option<String>,
    /// `Labels`: free annotations.
    pub labels: BTreeMap<String, String>,
    /// `StopSignal`: the signal that ends it, `SIGTERM` for example.
    pub stop_signal: Option<String>,
    /// `ArgsEscaped`: whether the command is one string and already escaped; Windows only.
    pub args_escaped: bool,
    /// `StopTimeout`: how long to wait after that signal, in seconds; below zero for ever.
    pub stop_timeout: Option<i64>,
    /// `Healthcheck`: how to find out whether it is well.
    pub healthcheck: Option<Healthcheck>,
    /// `Shell`: what builders run command lines with.
    pub shell: Option<Vec<String>>,
    /// `OnBuild`: what builders run first when they build on this image.
    pub on_build: Vec<String>,
    /// Fields the specification does not name.
    pub extra: Extra,
}

impl Serialize for RuntimeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        json::write_option(&mut map, "User", self.user.as_ref())?;
        json::write_names(&mut map, "ExposedPorts", &self.exposed_ports)?;
        json::write_list(&mut map, "Env", &self.env)?;
        json::write_option(&mut map, "Entrypoint", self.entrypoint.as_ref())?;
        json::write_option(&mut map, "Cmd", self.cmd.as_ref())?;
        json::write_names(&mut map, "Volumes", &self.volumes)?;
        json::write_option(&mut map, "WorkingDir", self.working_dir.as_ref())?;
        json::write_strings(&mut map, "Labels", &self.labels)?;
        json::write_option(&mut map, "StopSignal", self.stop_signal.as_ref())?;
        json::write_flag(&mut map, "ArgsEscaped", self.args_escaped)?;
        json::write_option(&mut map, "StopTimeout", self.stop_timeout.as_ref())?;
        json::write_option(&mut map, "Healthcheck", self.healthcheck.as_ref())?;
        json::write_option(&mut map, "Shell", self.shell.as_ref())?;
        json::write_list(&mut map, "OnBuild", &self.on_build)?;
        json::write_extra(&mut map, &self.extra, KEYS)?;
        map.end()
    }
}

/// How to find out whether a container is well.
///
/// A duration of zero means the one of the image below, or Docker's default. In JSON durations
/// are nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Healthcheck {
    /// `Test`: `NONE`, or `CMD` and a command, or `CMD-SHELL` and a command line.
    pub test: Vec<String>,
    /// `Interval`: the time between two checks.
    pub interval: Option<Duration>,
    /// `Timeout`: the time after which a check has failed.
    pub timeout: Option<Duration>,
    /// `StartPeriod`: the time at the start in which failed checks do not count.
    pub start_period: Option<Duration>,
    /// `StartInterval`: the time between two checks at the start.
    pub start_interval: Option<Duration>,
    /// `Retries`: how many checks in a row have to fail.
    pub retries: Option<i64>,
    /// Fields that are not known here.
    pub extra: Extra,
}

impl Serialize for Healthcheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = |duration: Option<Duration>| duration.map(|duration| duration.as_nanos());
        let mut map = serializer.serialize_map(None)?;
        json::write_list(&mut map, "Test", &self.test)?;
        json::write_option(&mut map, "Interval", nanos(self.interval).as_ref())?;
        json::write_option(&mut map, "Timeout", nanos(self.timeout).as_ref())?;
        json::write_option(&mut map, "StartPeriod", nanos(self.start_period).as_ref())?;
        json::write_option(
            &mut map,
            "StartInterval",
            nanos(self.start_interval).as_ref(),
        )?;
        json::write_option(&mut map, "Retries", self.retries.as_ref())?;
        json::write_extra(&mut map, &self.extra, HEALTHCHECK_KEYS)?;
        map.end()
    }
}

/// The known fields of `config`.
#[derive(Default)]
pub(super) struct RuntimeFields {
    user: Slot<String>,
    exposed_ports: Slot<BTreeSet<String>>,
    env: Slot<Vec<String>>,
    entrypoint: Slot<Vec<String>>,
    cmd: Slot<Vec<String>>,
    volumes: Slot<BTreeSet<String>>,
    working_dir: Slot<String>,
    labels: Slot<BTreeMap<String, String>>,
    stop_signal: Slot<String>,
    args_escaped: Slot<bool>,
    stop_timeout: Slot<i64>,
    healthcheck: Slot<Healthcheck>,
    shell: Slot<Vec<String>>,
    on_build: Slot<Vec<String>>,
}

impl<'de> Fields<'de> for RuntimeFields {
    type Built = RuntimeConfig;
    const EXPECTING: &'static str = "an object of what to run";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            "User" => entry.value(&mut self.user),
            "ExposedPorts" => entry.names(&mut self.exposed_ports),
            "Env" => entry.list(&mut self.env),
            "Entrypoint" => entry.list(&mut self.entrypoint),
            "Cmd" => entry.list(&mut self.cmd),
            "Volumes" => entry.names(&mut self.volumes),
            "WorkingDir" => entry.value(&mut self.working_dir),
            "Labels" => entry.string_map(&mut self.labels),
            "StopSignal" => entry.value(&mut self.stop_signal),
            "ArgsEscaped" => entry.value(&mut self.args_escaped),
            "StopTimeout" => entry.value(&mut self.stop_timeout),
            "Healthcheck" => entry.object::<HealthcheckFields>(&mut self.healthcheck),
            "Shell" => entry.list(&mut self.shell),
            "OnBuild" => entry.list(&mut self.on_build),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, extra: Extra, _: &Reading) -> Result<RuntimeConfig, E> {
        Ok(RuntimeConfig {
            user: self.user.optional(),
            exposed_ports: self.exposed_ports.or_default(),
            env: self.env.or_default(),
            entrypoint: self.entrypoint.optional(),
            cmd: self.cmd.optional(),
            volumes: self.volumes.or_default(),
            working_dir: self.working_dir.optional(),
            labels: self.labels.or_default(),
            stop_signal: self.stop_signal.optional(),
            args_escaped: self.args_escaped.or_default(),
            stop_timeout: self.stop_timeout.optional(),
            healthcheck: self.healthcheck.optional(),
            shell: self.shell.optional(),
            on_build: self.on_build.or_default(),
            extra,
        })
    }
}

const KEYS: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "StopTimeout",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

/// The known fields of `Healthcheck`.
#[derive(Default)]
struct HealthcheckFields {
    test: Slot<Vec<String>>,
    interval: Slot<u64>,
    timeout: Slot<u64>,
    start_period: Slot<u64>,
    start_interval: Slot<u64>,
    retries: Slot<i64>,
}

impl<'de> Fields<'de> for HealthcheckFields {
    type Built = Healthcheck;
    const EXPECTING: &'static str = "a healthcheck object";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            "Test" => entry.list(&mut self.test),
            "Interval" => entry.value(&mut self.interval),
            "Timeout" => entry.value(&mut self.timeout),
            "StartPeriod" => entry.value(&mut self.start_period),
            "StartInterval" => entry.value(&mut self.start_interval),
            "Retries" => entry.value(&mut self.retries),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, extra: Extra, _: &Reading) -> Result<Healthcheck, E> {
        let duration = |slot: Slot<u64>| slot.optional().map(Duration::from_nanos);
        Ok(Healthcheck {
            test: self.test.or_default(),
            interval: duration(self.interval),
            timeout: duration(self.timeout),
            start_period: duration(self.start_period),
            start_interval: duration(self.start_interval),
            retries: self.retries.optional(),
            extra,
        })
    }
}

const HEALTHCHECK_KEYS: &[&str] = &[
    "Test",
    "Interval",
    "Timeout",
    "StartPeriod",
    "StartInterval",
    "Retries",
];
