//! What a container made from an image runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::{Error, MapAccess};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::json::{self, Entry, Fields, Known, Reading, Slot};

/// What a container made from an image runs, unless it is told otherwise.
///
/// `None` and an empty list differ where a builder has said so: an empty entrypoint takes away
/// that of the image below.
///
/// Source: image-spec v1.1.1 "Image Configuration", `config`. `Healthcheck`, `Shell`, `OnBuild` and
/// `StopTimeout` are Docker's; what else Docker writes, `Hostname` for example, is not kept.
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
}

impl Serialize for RuntimeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        json::write_option(&mut map, member::USER, self.user.as_ref())?;
        json::write_names(&mut map, member::EXPOSED_PORTS, &self.exposed_ports)?;
        json::write_list(&mut map, member::ENV, &self.env)?;
        json::write_option(&mut map, member::ENTRYPOINT, self.entrypoint.as_ref())?;
        json::write_option(&mut map, member::CMD, self.cmd.as_ref())?;
        json::write_names(&mut map, member::VOLUMES, &self.volumes)?;
        json::write_option(&mut map, member::WORKING_DIR, self.working_dir.as_ref())?;
        json::write_strings(&mut map, member::LABELS, &self.labels)?;
        json::write_option(&mut map, member::STOP_SIGNAL, self.stop_signal.as_ref())?;
        json::write_flag(&mut map, member::ARGS_ESCAPED, self.args_escaped)?;
        json::write_option(&mut map, member::STOP_TIMEOUT, self.stop_timeout.as_ref())?;
        json::write_option(&mut map, member::HEALTHCHECK, self.healthcheck.as_ref())?;
        json::write_option(&mut map, member::SHELL, self.shell.as_ref())?;
        json::write_list(&mut map, member::ON_BUILD, &self.on_build)?;
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
}

impl Serialize for Healthcheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = |duration: Option<Duration>| duration.map(|duration| duration.as_nanos());
        let mut map = serializer.serialize_map(None)?;
        json::write_list(&mut map, healthcheck_member::TEST, &self.test)?;
        json::write_option(
            &mut map,
            healthcheck_member::INTERVAL,
            nanos(self.interval).as_ref(),
        )?;
        json::write_option(
            &mut map,
            healthcheck_member::TIMEOUT,
            nanos(self.timeout).as_ref(),
        )?;
        json::write_option(
            &mut map,
            healthcheck_member::START_PERIOD,
            nanos(self.start_period).as_ref(),
        )?;
        json::write_option(
            &mut map,
            healthcheck_member::START_INTERVAL,
            nanos(self.start_interval).as_ref(),
        )?;
        json::write_option(&mut map, healthcheck_member::RETRIES, self.retries.as_ref())?;
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
            member::USER => entry.value(&mut self.user),
            member::EXPOSED_PORTS => entry.names(&mut self.exposed_ports),
            member::ENV => entry.list(&mut self.env),
            member::ENTRYPOINT => entry.list(&mut self.entrypoint),
            member::CMD => entry.list(&mut self.cmd),
            member::VOLUMES => entry.names(&mut self.volumes),
            member::WORKING_DIR => entry.value(&mut self.working_dir),
            member::LABELS => entry.string_map(&mut self.labels),
            member::STOP_SIGNAL => entry.value(&mut self.stop_signal),
            member::ARGS_ESCAPED => entry.value(&mut self.args_escaped),
            member::STOP_TIMEOUT => entry.value(&mut self.stop_timeout),
            member::HEALTHCHECK => entry.object::<HealthcheckFields>(&mut self.healthcheck),
            member::SHELL => entry.list(&mut self.shell),
            member::ON_BUILD => entry.list(&mut self.on_build),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, _: &Reading) -> Result<RuntimeConfig, E> {
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
        })
    }
}

/// The member names of `config`.
mod member {
    crate::json::member_names! {
        USER = "User";
        EXPOSED_PORTS = "ExposedPorts";
        ENV = "Env";
        ENTRYPOINT = "Entrypoint";
        CMD = "Cmd";
        VOLUMES = "Volumes";
        WORKING_DIR = "WorkingDir";
        LABELS = "Labels";
        STOP_SIGNAL = "StopSignal";
        ARGS_ESCAPED = "ArgsEscaped";
        STOP_TIMEOUT = "StopTimeout";
        HEALTHCHECK = "Healthcheck";
        SHELL = "Shell";
        ON_BUILD = "OnBuild";
    }
}

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
            healthcheck_member::TEST => entry.list(&mut self.test),
            healthcheck_member::INTERVAL => entry.value(&mut self.interval),
            healthcheck_member::TIMEOUT => entry.value(&mut self.timeout),
            healthcheck_member::START_PERIOD => entry.value(&mut self.start_period),
            healthcheck_member::START_INTERVAL => entry.value(&mut self.start_interval),
            healthcheck_member::RETRIES => entry.value(&mut self.retries),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, _: &Reading) -> Result<Healthcheck, E> {
        let duration = |slot: Slot<u64>| slot.optional().map(Duration::from_nanos);
        Ok(Healthcheck {
            test: self.test.or_default(),
            interval: duration(self.interval),
            timeout: duration(self.timeout),
            start_period: duration(self.start_period),
            start_interval: duration(self.start_interval),
            retries: self.retries.optional(),
        })
    }
}

/// The member names of `Healthcheck`.
mod healthcheck_member {
    crate::json::member_names! {
        TEST = "Test";
        INTERVAL = "Interval";
        TIMEOUT = "Timeout";
        START_PERIOD = "StartPeriod";
        START_INTERVAL = "StartInterval";
        RETRIES = "Retries";
    }
}
