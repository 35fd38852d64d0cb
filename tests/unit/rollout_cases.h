/* tests/unit/rollout_cases.h - the table of test_rollout.c: scripts, and what they must lead to */
#pragma once
#include "reconcile/rollout.h"

struct setting {
	size_t canaries, production; /* clients c0, c1, ... stage by stage */
	int64_t batch, max_failures, bake_ms, max_unreachable, wave_pause_ms, retries, expires_ms;
	int64_t second_batch;
	bool manual; /* the second stage */
	bool manual_first;
	bool over_limit, away;
	bool paused; /* the first client */
	bool hold, no_good, unproved, no_checks, blocked, resumed, going_back;
	const char *steps; /* the pipeline of all */
	enum restore_when restore;
	bool asked;      /* resumed while a person is asked */
	bool other_data; /* what runs before is not the known good release */
};

#define BACKUP  "backup deploy verify"
#define ALL     "drain backup deploy fill verify greet"
#define ALWAYS  .steps = BACKUP, .restore = RESTORE_ALWAYS
#define ASKS    .steps = BACKUP, .restore = RESTORE_ASK
#define TO_FAIL " started c0.started backup0 c0.backup deploy0"
#define ASKED   " c0.asks waiting[approval of restore of c0]"

static const struct {
	const char *name;
	struct setting setting;
	const char *script, *actions;
} cases[] = {
	{"canary, then production", {1, 1}, "rec ok0 ok0 rec ok1 ok1",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded c1.started deploy1"
		" round1 c1.healthy succeeded"},
	{"without clients", {0, 0}, "", " started succeeded"},
	{"no canary changes", {0, 1}, "rec ok0 ok0",
		" started c0.started deploy0 round0 c0.healthy succeeded"},
	{"nothing before the intent is accepted", {1, 0}, "+5000 +5000 rec",
		" started c0.started deploy0"},
	{"a bake under watch", {1, 0, .bake_ms = 250}, "rec ok0 ok0 +100 ok0 +100 ok0 +50",
		" started c0.started deploy0 round0 stage0.baking round0 round0 c0.healthy"
		" succeeded"},
	{"a bad round in the bake", {1, 1, .bake_ms = 250}, "rec ok0 ok0 +100 bad0 ok0 ok0",
		" started c0.started deploy0 round0 stage0.baking round0 back0 c0.back round0"
		" c0.rolled-back c0.held failed"},
	{"an activation that fails", {1, 1}, "rec bad0 ok0 ok0",
		" started c0.started deploy0 back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"going back waits for no remote", {1, 0}, "rec bad0 ok0 +100",
		" started c0.started deploy0 back0 c0.back round0"},
	{"a verification that times out", {1, 0}, "rec ok0 bad0 +100 bad0 +900 ok0 ok0",
		" started c0.started deploy0 round0 round0 back0 c0.back round0 c0.rolled-back"
		" c0.held failed"},
	{"a way back that fails", {1, 0}, "rec bad0 bad0",
		" started c0.started deploy0 back0 c0.back c0.failed c0.held failed"},
	{"a way back that is not well", {1, 0}, "rec bad0 ok0 bad0 +1000",
		" started c0.started deploy0 back0 c0.back round0 c0.failed c0.held failed"},
	{"on_failure: hold", {1, 1, .hold = true}, "rec bad0",
		" started c0.started deploy0 c0.failed c0.held failed"},
	{"a first onboarding that fails", {1, 1, .no_good = true}, "rec ok0 bad0 +1000",
		" started c0.started deploy0 round0 c0.failed c0.held failed"},
	{"a host that is not reached is waited for", {1, 1}, "rec gone0 rec +100 bad0 +200 ok0 rec",
		" started c0.started deploy0 c0.away waiting[unreachable hosts: c0] ask0 ask0"
		" stage0.running c0.started deploy0"},
	{"and goes on once it answers", {1, 0}, "rec gone0 rec +100 ok0 rec ok0 ok0",
		" started c0.started deploy0 c0.away waiting[unreachable hosts: c0] ask0"
		" stage0.running c0.started deploy0 round0 c0.healthy succeeded"},
	{"its activation arrived late: the others of its bake are watched as long as it is",
		{2, 0, .batch = 2, .bake_ms = 300, .max_unreachable = 1},
		"rec lost0 ok1 runs0:untouched rec ok1 +100 ok1 +100 runs0:target"
		" ok0 +100 ok1 +100 ok1",
		" started c0.started c1.started deploy0 deploy1 ask0 round1 c0.away stage0.baking"
		" round1 round1 round0 stage0.baking round0 round1"},
	{"superseded while a host is away", {1, 1}, "rec gone0 newer",
		" started c0.started deploy0 c0.away waiting[unreachable hosts: c0] c0.superseded"
		" superseded"},
	{"aborted while a host is away", {1, 1}, "rec gone0 no",
		" started c0.started deploy0 c0.away waiting[unreachable hosts: c0] c0.skipped"
		" aborted"},
	{"one host away, tolerated", {0, 2, .max_unreachable = 1}, "rec gone0 rec ok1 ok1",
		" started c0.started deploy0 c0.away c1.started deploy1 round1 c0.skipped"
		" c1.healthy succeeded"},
	{"two away, one tolerated", {0, 3, .max_unreachable = 1},
		"rec gone0 rec gone1 rec +100 ok0 rec ok0 ok0 rec ok2 ok2",
		" started c0.started deploy0 c0.away c1.started deploy1 c1.away"
		" waiting[unreachable hosts: c0, c1] ask0 ask1 stage1.running c0.started"
		" deploy0 round0 c2.started deploy2 round2 c0.healthy c1.skipped c2.healthy"
		" succeeded"},
	{"away, and nobody else is healthy", {0, 1, .max_unreachable = 5}, "rec gone0",
		" started c0.started deploy0 c0.away waiting[unreachable hosts: c0]"},
	{"away, and another one failed", {0, 2, .max_unreachable = 1, .max_failures = 1},
		"rec gone0 rec bad1 ok1 ok1",
		" started c0.started deploy0 c0.away c1.started deploy1 back1 c1.back round1"
		" c1.rolled-back c1.held c0.skipped failed"},
	{"resumed while a host is away", {1, 0, .resumed = true, .away = true}, "rec +100 ok0",
		" waiting[unreachable hosts: c0] ask0 stage0.running c0.started"},
	{"a failure that may pass is repeated", {1, 0, .retries = 2},
		"rec flaky0 rec +1000 flaky0 rec +1999 +1 ok0 ok0",
		" started c0.started deploy0 c0.retry1 deploy0 c0.retry2 deploy0 round0 c0.healthy"
		" succeeded"},
	{"but not for ever", {1, 0, .retries = 1}, "rec flaky0 rec +1000 flaky0 ok0 ok0",
		" started c0.started deploy0 c0.retry1 deploy0 back0 c0.back round0 c0.rolled-back"
		" c0.held failed"},
	{"another one never is", {1, 0, .retries = 2}, "rec bad0",
		" started c0.started deploy0 back0 c0.back"},
	{"nothing is repeated before the attempt is recorded", {1, 0, .retries = 2},
		"rec flaky0 +5000 rec", " started c0.started deploy0 c0.retry1 deploy0"},
	{"superseded before the repetition", {1, 0, .retries = 2}, "rec flaky0 newer",
		" started c0.started deploy0 c0.retry1 c0.superseded superseded"},
	{"a way back is repeated, whatever the remote says", {1, 0, .retries = 1},
		"rec bad0 flaky0 +1000 ok0 ok0",
		" started c0.started deploy0 back0 c0.back c0.retry1 back0 round0 c0.rolled-back"
		" c0.held failed"},
	{"an unreachable host is tried again first", {1, 0, .retries = 1},
		"rec gone0 rec +1000 gone0",
		" started c0.started deploy0 c0.retry1 deploy0 c0.away"
		" waiting[unreachable hosts: c0]"},
	{"an outcome that nobody knows is asked for", {1, 0},
		"rec lost0 bad0 +100 runs0:target ok0",
		" started c0.started deploy0 ask0 ask0 round0 c0.healthy succeeded"},
	{"until the deadline, then it goes back", {1, 0}, "rec lost0 bad0 +1000 bad0 ok0 ok0",
		" started c0.started deploy0 ask0 ask0 back0 c0.back round0 c0.rolled-back c0.held"
		" failed"},
	{"which may get lost too", {1, 0}, "rec bad0 lost0 bad0 +1000 bad0",
		" started c0.started deploy0 back0 c0.back ask0 ask0 c0.failed c0.held failed"},
	{"a connection that is lost again and again is tried so often", {1, 1, .retries = 1},
		"rec lost0 runs0:untouched rec +1000 lost0 runs0:untouched rec",
		" started c0.started deploy0 ask0 c0.retry1 deploy0 ask0 c0.away"
		" waiting[unreachable hosts: c0]"},
	{"and does not stop the others, within max_unreachable", {0, 2, .max_unreachable = 1},
		"rec lost0 runs0:untouched rec ok1 ok1",
		" started c0.started deploy0 ask0 c0.away c1.started deploy1 round1 c0.skipped"
		" c1.healthy succeeded"},
	{"in the middle of an activation it goes back then", {1, 0, .retries = 1},
		"rec lost0 runs0:target-unsure rec +1000 lost0 runs0:unknown ok0 ok0",
		" started c0.started deploy0 ask0 c0.retry1 deploy0 ask0 back0 c0.back round0"
		" c0.rolled-back c0.held failed"},
	{"a way back is tried as often", {1, 0, .retries = 1},
		"rec bad0 lost0 runs0:back-unsure +1000 lost0 runs0:target",
		" started c0.started deploy0 back0 c0.back ask0 c0.retry1 back0 ask0 c0.failed"
		" c0.held failed"},
	{"superseded after the connection was lost", {1, 0, .retries = 1},
		"rec lost0 newer runs0:untouched",
		" started c0.started deploy0 ask0 ending[3333333] c0.superseded superseded"},
	{"superseded in an activation whose connection was lost", {1, 0, .retries = 1},
		"rec lost0 newer runs0:target-unsure rec +1000 ok0",
		" started c0.started deploy0 ask0 ending[3333333] c0.retry1 deploy0 round0"
		" c0.superseded superseded"},
	{"a host that answers and stays out of reach is asked less and less", {1, 0},
		"rec gone0 rec +100 ok0 rec gone0 rec +199 +1 ok0 rec gone0 rec +399 +1",
		" started c0.started deploy0 c0.away waiting[unreachable hosts: c0] ask0"
		" stage0.running c0.started deploy0 c0.away waiting[unreachable hosts: c0] ask0"
		" stage0.running c0.started deploy0 c0.away waiting[unreachable hosts: c0] ask0"},
	{"a stage waits for its approval", {1, 1, .manual = true}, "rec ok0 ok0 rec +5000",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[approval of production]"},
	{"and starts with it", {1, 1, .manual = true}, "rec ok0 ok0 rec yes rec ok1 ok1",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[approval of production] approved[production by eva] c1.started deploy1"
		" round1 c1.healthy succeeded"},
	{"a yes before the question counts for nothing", {1, 1, .manual = true},
		"rec yes ok0 ok0 rec",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[approval of production]"},
	{"the first stage asks at once", {1, 1, .manual_first = true}, "rec yes rec",
		" started waiting[approval of canary] approved[canary by eva] c0.started deploy0"},
	{"nobody changes in the stage that would ask", {1, 0, .manual = true}, "rec ok0 ok0",
		" started c0.started deploy0 round0 c0.healthy succeeded"},
	{"nobody answers in time", {1, 1, .manual_first = true, .expires_ms = 60000},
		"rec +59999 +1", " started waiting[approval of canary] aborted"},
	{"over the limit it asks first", {1, 1, .over_limit = true, .manual_first = true},
		"rec yes rec yes rec",
		" started waiting[approval: 2 of 2] approved[max_changed by eva]"
		" waiting[approval of canary] approved[canary by eva] c0.started deploy0"},
	{"a no while it waits", {1, 1, .manual = true}, "rec ok0 ok0 rec no",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[approval of production] aborted"},
	{"superseded while it waits", {1, 1, .manual = true}, "rec ok0 ok0 rec newer yes",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[approval of production] superseded"},
	{"aborted in a deploy, which ends first", {1, 1}, "rec no ok0",
		" started c0.started deploy0 ending[eva] round0 c0.skipped aborted"},
	{"aborted in a deploy that fails", {1, 1}, "rec no bad0 ok0 ok0",
		" started c0.started deploy0 ending[eva] back0 c0.back round0 c0.rolled-back"
		" c0.held failed"},
	{"aborted in the bake", {1, 1, .bake_ms = 500}, "rec ok0 ok0 no",
		" started c0.started deploy0 round0 stage0.baking c0.skipped aborted"},
	{"aborted and superseded is aborted", {1, 1}, "rec no newer ok0",
		" started c0.started deploy0 ending[eva] round0 c0.skipped aborted"},
	{"waves of a list, the last one repeats", {0, 5, .batch = 1, .second_batch = 2},
		"rec ok0 ok0 rec ok1 ok2 ok1 ok2 rec",
		" started c0.started deploy0 round0 c1.started c2.started deploy1 deploy2 round1"
		" round2 c3.started c4.started deploy3 deploy4"},
	{"a pause between waves", {0, 2, .wave_pause_ms = 500}, "rec ok0 ok0 +499 +1 rec ok1 ok1",
		" started c0.started deploy0 round0 c1.started deploy1 round1 c0.healthy c1.healthy"
		" succeeded"},
	{"outside of its windows a stage waits", {1, 1},
		"shut1 rec ok0 ok0 rec +5000 open1 rec ok1 ok1",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[the next window of production] stage1.running c1.started deploy1 round1"
		" c1.healthy succeeded"},
	{"unless a person says now", {1, 1}, "shut1 rec ok0 ok0 rec yes now rec ok1 ok1",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[the next window of production]"
		" approved[production, outside of its windows by eva] c1.started deploy1 round1"
		" c1.healthy succeeded"},
	{"which says yes to the stage as well", {1, 1, .manual = true},
		"shut1 rec ok0 ok0 rec now rec",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[approval of production]"
		" approved[production, outside of its windows by eva] c1.started deploy1"},
	{"a yes alone waits for the window", {1, 1, .manual = true},
		"shut1 rec ok0 ok0 rec yes rec",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"
		" waiting[approval of production] approved[production by eva]"
		" waiting[the next window of production]"},
	{"now is for the stage that waits", {0, 1}, "now shut1 rec", " started c0.started deploy0"},
	{"a window that closes lets a wave end", {0, 2}, "rec shut1 ok0 ok0 +5000",
		" started c0.started deploy0 round0 waiting[the next window of production]"},
	{"nothing to check", {1, 0, .no_checks = true}, "rec ok0",
		" started c0.started deploy0 c0.healthy succeeded"},
	{"it runs already, unproved", {1, 0, .unproved = true}, "rec ok0",
		" started c0.started round0 c0.healthy succeeded"},
	{"waves", {0, 3, .batch = 2}, "rec ok0 ok1 ok0 ok1 rec ok2 ok2",
		" started c0.started c1.started deploy0 deploy1 round0 round1 c2.started deploy2"
		" round2 c0.healthy c1.healthy c2.healthy succeeded"},
	{"two failures, one tolerated", {0, 3, .batch = 2, .max_failures = 1},
		"rec bad0 bad1 ok0 ok1 ok0 ok1",
		" started c0.started c1.started deploy0 deploy1 back0 c0.back back1 c1.back round0"
		" round1 c0.rolled-back c0.held c1.rolled-back c1.held failed"},
	{"one failure, tolerated", {0, 2, .max_failures = 1}, "rec bad0 ok0 ok0 rec ok1 ok1",
		" started c0.started deploy0 back0 c0.back round0 c0.rolled-back c0.held"
		" c1.started deploy1 round1 c1.healthy failed"},
	{"a stage whose every client failed", {1, 1, .max_failures = 5}, "rec bad0 ok0 ok0",
		" started c0.started deploy0 back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"the others in flight end well", {0, 3, .batch = 2}, "rec bad0 ok1 ok1 ok0 ok0",
		" started c0.started c1.started deploy0 deploy1 back0 c0.back round1 round0"
		" c0.rolled-back c0.held c1.healthy failed"},
	{"a held client blocks later stages", {1, 1, .blocked = true}, "rec ok0 ok0",
		" started c0.started deploy0 round0 c0.healthy failed"},
	{"superseded before the intent is accepted", {1, 1}, "newer rec",
		" started c0.started c0.superseded superseded"},
	{"superseded in a deploy", {1, 1}, "rec newer ok0",
		" started c0.started deploy0 ending[3333333] round0 c0.superseded superseded"},
	{"superseded in a verification", {1, 1}, "rec ok0 newer ok0",
		" started c0.started deploy0 round0 c0.superseded superseded"},
	{"superseded in the bake", {1, 1, .bake_ms = 500}, "rec ok0 ok0 newer",
		" started c0.started deploy0 round0 stage0.baking c0.superseded superseded"},
	{"superseded while going back", {1, 1}, "rec bad0 newer ok0 ok0",
		" started c0.started deploy0 back0 c0.back ending[3333333] round0 c0.rolled-back"
		" c0.held failed"},
	{"a pause of the fleet starts nothing", {1, 1}, "pause* rec ok0 ok0 rec +5000",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded"},
	{"and ends with it", {1, 1}, "pause* rec ok0 ok0 resume* rec ok1 ok1",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded c1.started deploy1"
		" round1 c1.healthy succeeded"},
	{"a pause of the fleet lets a way back end", {1, 1}, "rec pause* bad0 ok0 ok0",
		" started c0.started deploy0 back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"a stage waits for its only client that is paused", {1, 1, .paused = true}, "rec +5000",
		" started"},
	{"which is resumed", {1, 1, .paused = true}, "rec resume0 rec ok0 ok0 rec ok1 ok1",
		" started c0.started deploy0 round0 c0.healthy stage0.succeeded c1.started deploy1"
		" round1 c1.healthy succeeded"},
	{"a paused client beside a healthy one", {2, 1, .paused = true}, "rec ok1 ok1 rec ok2 ok2",
		" started c1.started deploy1 round1 c1.healthy stage0.succeeded c2.started deploy2"
		" round2 c2.healthy succeeded"},
	{"resumed in the bake, which begins again", {2, 0, .paused = true, .bake_ms = 250},
		"rec ok1 ok1 +200 ok1 resume0 rec ok0 ok0 +100 ok0 ok1 +100 ok0 ok1 +50",
		" started c1.started deploy1 round1 stage0.baking round1 c0.started deploy0 round0"
		" stage0.baking round0 round1 round0 round1 c0.healthy c1.healthy succeeded"},
	{"superseded while paused", {1, 1, .paused = true}, "rec newer", " started superseded"},
	{"stopping starts nothing and lets nothing time out", {1, 1},
		"rec ok0 stop bad0 +5000 +5000", " started c0.started deploy0 round0"},
	{"stopping in a deploy", {1, 1}, "rec stop ok0 +5000", " started c0.started deploy0"},
	{"resumed untouched", {1, 0, .resumed = true}, "runs0:untouched ok0 ok0",
		" ask0 deploy0 round0 c0.healthy succeeded"},
	{"resumed, activated", {1, 0, .resumed = true}, "runs0:target ok0",
		" ask0 round0 c0.healthy succeeded"},
	{"resumed in an activation", {1, 0, .resumed = true}, "runs0:target-unsure ok0 ok0",
		" ask0 deploy0 round0 c0.healthy succeeded"},
	{"resumed with something else", {1, 0, .resumed = true}, "runs0:unknown", " ask0 deploy0"},
	{"resumed in the way back", {1, 0, .resumed = true}, "runs0:back-unsure ok0 ok0",
		" ask0 back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"resumed after the way back", {1, 0, .resumed = true}, "runs0:back ok0",
		" ask0 c0.back round0 c0.rolled-back c0.held failed"},
	{"resumed, the way back had been recorded", {1, 0, .resumed = true, .going_back = true},
		"runs0:target ok0 ok0", " ask0 back0 round0 c0.rolled-back c0.held failed"},
	{"resumed, the host does not answer", {1, 0, .resumed = true}, "bad0 +100 bad0 +100",
		" ask0 ask0 ask0"},
	{"resumed, the host never answers", {1, 0, .resumed = true}, "bad0 +1000 bad0 ok0 ok0",
		" ask0 ask0 back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"a backup before anything is touched", {1, 0, .steps = BACKUP},
		"rec ok0 +5000 rec ok0 ok0",
		" started c0.started backup0 c0.backup deploy0 round0 c0.healthy succeeded"},
	{"steps in their order", {1, 0, .steps = ALL}, "rec ok0 ok0 rec ok0 ok0 ok0 ok0",
		" started c0.started drain0 backup0 c0.backup deploy0 fill0 round0 greet0"
		" c0.healthy succeeded"},
	{"a backup that fails: nothing is touched, nobody goes back", {1, 1, .steps = BACKUP},
		"rec bad0", " started c0.started backup0 c0.failed c0.held failed"},
	{"one that may pass is repeated", {1, 0, .steps = BACKUP, .retries = 1},
		"rec flaky0 rec +999 +1 ok0 rec ok0 ok0",
		" started c0.started backup0 c0.retry1 backup0 c0.backup deploy0 round0 c0.healthy"
		" succeeded"},
	{"but not for ever", {1, 0, .steps = BACKUP, .retries = 1}, "rec flaky0 rec +1000 flaky0",
		" started c0.started backup0 c0.retry1 backup0 c0.failed c0.held failed"},
	{"one whose outcome is unknown is made again", {1, 0, .steps = BACKUP, .retries = 1},
		"rec lost0 rec +1000 ok0 rec",
		" started c0.started backup0 c0.retry1 backup0 c0.backup deploy0"},
	{"each step has its own attempts", {1, 0, .steps = ALL, .retries = 1},
		"rec flaky0 rec +1000 ok0 flaky0 rec +1000 ok0 rec",
		" started c0.started drain0 c0.retry1 drain0 backup0 c0.retry1 backup0 c0.backup"
		" deploy0"},
	{"a host that is away before its backup", {1, 0, .steps = BACKUP},
		"rec gone0 rec +100 runs0:untouched rec ok0 rec",
		" started c0.started backup0 c0.away waiting[unreachable hosts: c0] ask0"
		" stage0.running c0.started backup0 c0.backup deploy0"},
	{"others failed meanwhile: its release does not start", {0, 3, .batch = 2, .steps = BACKUP},
		"rec ok0 bad1 rec",
		" started c0.started c1.started backup0 backup1 c0.backup c1.failed c1.held"
		" c0.skipped failed"},
	{"superseded in a backup, which ends first", {1, 1, .steps = BACKUP}, "rec newer ok0 rec",
		" started c0.started backup0 ending[3333333] c0.backup c0.superseded superseded"},
	{"superseded in a backup that fails", {1, 1, .steps = BACKUP}, "rec newer bad0",
		" started c0.started backup0 ending[3333333] c0.failed c0.held failed"},
	{"superseded after the backup", {1, 1, .steps = BACKUP}, "rec ok0 newer rec",
		" started c0.started backup0 c0.backup c0.superseded superseded"},
	{"aborted in a backup, which ends first", {1, 1, .steps = BACKUP}, "rec no ok0 rec",
		" started c0.started backup0 ending[eva] c0.backup c0.skipped aborted"},
	{"superseded before a step is repeated, whatever became of the activation before",
		{1, 0, .steps = "deploy verify backup", .retries = 1},
		"rec lost0 runs0:target-unsure rec +1000 lost0 runs0:target ok0 lost0 newer",
		" started c0.started deploy0 ask0 c0.retry1 deploy0 ask0 round0 backup0 c0.retry1"
		" c0.superseded superseded"},
	{"stopping in a backup", {1, 1, .steps = BACKUP}, "rec stop ok0 rec +5000",
		" started c0.started backup0 c0.backup"},
	{"a step after deploy that fails", {1, 0, .steps = "deploy fill verify"},
		"rec ok0 bad0 ok0 ok0",
		" started c0.started deploy0 fill0 back0 c0.back round0 c0.rolled-back c0.held"
		" failed"},
	{"a step after verify that fails", {1, 0, .steps = "deploy verify backup", .no_good = true},
		"rec ok0 ok0 bad0",
		" started c0.started deploy0 round0 backup0 c0.failed c0.held failed"},
	{"it runs already: steps before verify are not run", {1, 0, .steps = ALL, .unproved = true},
		"rec ok0 ok0", " started c0.started round0 greet0 c0.healthy succeeded"},
	{"without checks a step follows at once",
		{1, 0, .steps = "deploy verify greet", .no_checks = true}, "rec ok0 ok0",
		" started c0.started deploy0 greet0 c0.healthy succeeded"},
	{"resumed untouched: the backup is made anew", {1, 0, .resumed = true, .steps = BACKUP},
		"runs0:untouched ok0 rec ok0 ok0",
		" ask0 backup0 c0.backup deploy0 round0 c0.healthy succeeded"},
	{"resumed in an activation: no backup of what it did",
		{1, 0, .resumed = true, .steps = ALL}, "runs0:target-unsure ok0 ok0 ok0 ok0",
		" ask0 deploy0 fill0 round0 greet0 c0.healthy succeeded"},
	{"resumed, activated: what comes behind", {1, 0, .resumed = true, .steps = ALL},
		"runs0:target ok0 ok0 ok0", " ask0 fill0 round0 greet0 c0.healthy succeeded"},
	{"restore: always", {1, 1, ALWAYS}, "rec ok0 rec bad0 ok0 ok0",
		TO_FAIL " back0+data c0.back round0 c0.rolled-back c0.held failed"},
	{"restore: never", {1, 1, .steps = BACKUP}, "rec ok0 rec bad0 ok0 ok0",
		TO_FAIL " back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"a bake that fails has its data back too", {1, 1, ALWAYS, .bake_ms = 200},
		"rec ok0 rec ok0 ok0 +100 bad0 ok0 ok0",
		TO_FAIL " round0 stage0.baking round0 back0+data c0.back round0 c0.rolled-back"
			" c0.held failed"},
	{"no data for a release that never began", {1, 1, ALWAYS}, "rec ok0 rec none0 ok0 ok0",
		TO_FAIL " back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"no data of another release", {1, 1, ALWAYS, .other_data = true},
		"rec ok0 rec bad0 ok0 ok0",
		TO_FAIL " back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"restore: ask", {1, 1, ASKS}, "rec ok0 rec bad0 +5000", TO_FAIL ASKED},
	{"yes: first it is recorded who said so", {1, 1, ASKS},
		"rec ok0 rec bad0 rec yes +5000 rec ok0 ok0",
		TO_FAIL ASKED " approved[restore of c0 by eva] c0.back back0+data round0"
			      " c0.rolled-back c0.held failed"},
	{"no: it stays as it is", {1, 1, ASKS}, "rec ok0 rec bad0 rec no",
		TO_FAIL ASKED " c0.failed c0.held failed"},
	{"a fix waits for no answer", {1, 1, ASKS}, "rec ok0 rec bad0 rec newer",
		TO_FAIL ASKED " c0.failed c0.held failed"},
	{"nobody is asked any more", {1, 1, ASKS}, "rec ok0 rec newer bad0",
		TO_FAIL " ending[3333333] c0.failed c0.held failed"},
	{"nobody is asked where there is nothing to restore", {1, 1, ASKS, .other_data = true},
		"rec ok0 rec bad0 ok0 ok0",
		TO_FAIL " back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"one asks in the bake of another",
		{2, 0, ASKS, .batch = 2, .bake_ms = 500, .max_failures = 1},
		"rec ok0 ok1 rec ok0 ok1 ok0 ok1 +100 bad0 ok1 rec yes rec ok0 ok0 +400 ok1",
		" started c0.started c1.started backup0 backup1 c0.backup c1.backup deploy0 deploy1"
		" round0 round1 stage0.baking round0 round1" ASKED
		" approved[restore of c0 by eva] c0.back back0+data round0 c0.rolled-back"
		" c0.held round1 c1.healthy failed"},
	{"a yes is one to whom it was asked for",
		{2, 0, ASKS, .batch = 2, .bake_ms = 500, .max_failures = 1},
		"rec ok0 ok1 rec ok0 ok1 ok0 ok1 +100 bad0 bad1 yes rec ok0 ok0",
		" started c0.started c1.started backup0 backup1 c0.backup c1.backup deploy0 deploy1"
		" round0 round1 stage0.baking round0 round1" ASKED
		" c1.asks approved[restore of c0 by eva] c0.back back0+data round0 c0.rolled-back"
		" c0.held waiting[approval of restore of c1]"},
	{"resumed while a person is asked", {1, 1, ASKS, .resumed = true, .asked = true},
		"rec yes rec ok0 ok0",
		" waiting[approval of restore of c0] approved[restore of c0 by eva] c0.back"
		" back0+data round0 c0.rolled-back c0.held failed"},
	{"resumed in a restore, which the host knows of", {1, 0, ALWAYS, .resumed = true},
		"data0:back-unsure ok0 ok0",
		" ask0 back0+data c0.back round0 c0.rolled-back c0.held failed"},
	{"resumed in a way back without data", {1, 0, ALWAYS, .resumed = true},
		"runs0:back-unsure ok0 ok0",
		" ask0 back0 c0.back round0 c0.rolled-back c0.held failed"},
	{"resumed after a restore: not once more", {1, 0, ALWAYS, .resumed = true},
		"data0:back ok0", " ask0 c0.back round0 c0.rolled-back c0.held failed"},
	{"a restore that fails", {1, 1, ALWAYS}, "rec ok0 rec bad0 bad0",
		TO_FAIL " back0+data c0.back c0.failed c0.held failed"},
	{"resumed and superseded", {1, 0, .resumed = true}, "newer runs0:target",
		" ask0 ending[3333333] round0 c0.superseded superseded"},
};
