# Tells Aviary what a playbook does: one JSON object a line. Of its own, since the one of
# ansible.posix is not there with ansible-core alone; the names of the events are the same.
import json

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: aviary
type: stdout
short_description: one JSON object a line
description:
  - Names of tasks, what came of them, and the counts at the end, for Aviary.
"""
TEXT_MAX = 2000


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "aviary"

    def _say(self, event, **values):
        self._display.display(json.dumps(dict(values, _event=event), sort_keys=True))

    def _tell(self, event, result, **more):
        values = getattr(result, "result", None)
        if not isinstance(values, dict):
            values = getattr(result, "_result", {})
        host = getattr(result, "host", None) or getattr(result, "_host", None)
        texts = [values.get(key) for key in ("msg", "stderr", "reason", "censored")]
        text = ": ".join(str(each).strip() for each in texts if each)
        self._say(event, host=str(host), changed=bool(values.get("changed")),
                  text=text[:TEXT_MAX], **more)

    def v2_playbook_on_play_start(self, play):
        self._say("v2_playbook_on_play_start", name=str(play.get_name())[:TEXT_MAX])

    def v2_playbook_on_no_hosts_matched(self):
        self._say("v2_playbook_on_no_hosts_matched")

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._say("v2_playbook_on_task_start", name=str(task.get_name())[:TEXT_MAX])

    def v2_playbook_on_handler_task_start(self, task):
        self._say("v2_playbook_on_task_start", name=str(task.get_name())[:TEXT_MAX])

    def v2_runner_on_ok(self, result):
        self._tell("v2_runner_on_ok", result)

    def v2_runner_on_skipped(self, result):
        self._tell("v2_runner_on_skipped", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._tell("v2_runner_on_failed", result, ignored=bool(ignore_errors))

    def v2_runner_on_unreachable(self, result):
        self._tell("v2_runner_on_unreachable", result)

    def v2_playbook_on_stats(self, stats):
        hosts = {str(host): stats.summarize(host) for host in stats.processed}
        self._say("v2_playbook_on_stats", stats=hosts)
