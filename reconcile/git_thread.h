/* reconcile/git_thread.h - the one thread that does all git work, so that a hanging remote delays
 * no rollback
 *
 * Two kinds of work, in the order asked: look (fetch the tracked branch and the status branch, plan
 * the newest commit) and append (facts to the status branch). Answers come as messages.
 */
#pragma once
#include "git/remote.h"
#include "git/signers.h"
#include "reconcile/fact.h"
#include "reconcile/inbox.h"
#include "reconcile/plan.h"
#include "reconcile/truth.h"

#define SIGNED_BY_TEXT 400 /* names of signers, in one line */

struct git_options {
	const char *state_dir;
	struct remote_options infra; /* the infra repository */
	const char *branch;          /* tracked */
	const char *status_url;      /* NULL: the infra repository */
	const char *status_branch;
	bool status_inside; /* the status branch is the tracked one: records under status/ */
	const char *author_name, *author_mail;
	const char *signing_key_file;  /* of the status branch, or NULL */
	const struct keyring *keyring; /* borrowed */
	struct hosts *hosts;           /* borrowed */
	bool accept_history;           /* for the first look only */
	struct signers_files signers;  /* .allowed NULL: commits need no signature */
};

/** A tag that says yes to what a rollout waits for. */
struct look_approval {
	char rollout[ROLLOUT_TEXT]; /* "" none */
	struct oid tag;
	char by[200], reason[500];
};

/** What a look found. */
struct look_result {
	bool stands_by;   /* another instance leads: nothing was planned */
	bool nothing_new; /* neither branch moved since the last look */
	struct oid head;  /* newest commit of the tracked branch */
	bool forced;      /* it came by rewriting that branch */
	char subject[200];
	char author[120];
	struct status *status;   /* as of now; NULL when nothing_new */
	struct plan *plan;       /* of head; NULL when nothing is to be planned or it was refused */
	struct strlist refusals; /* the commit was refused: one sentence each */
	struct plan_pins pins;   /* what is to be recorded of pins, whether it is refused or not */
	char refused_plan[16];   /* plan digest of a commit that policy refused */
	const char *waits;       /* why no plan is made: "held", "refused before", or NULL */
	struct rollout_record *resume; /* a rollout that the branch says is running, and */
	struct plan
		*resume_plan; /* the plan of its commit; may be NULL if it does not load any more */
	char resume_author[120];
	char *resume_events;            /* text of its file of events, or NULL */
	bool resume_gone;               /* the repository lacks its commit: it is superseded */
	struct oid stands_in;           /* then: the last deployed one, whose steps are there */
	char signed_by[SIGNED_BY_TEXT]; /* who signed what is planned, "" without a list */
	char resume_signed_by[SIGNED_BY_TEXT];
	struct look_approval approval;
	bool by_hand;              /* answers a request with `only` or `repair` */
	struct release_ref wanted; /* then: what the head wants of that client */
	enum policy_drift drift;   /* of the last deployed commit */
	int64_t drift_interval_ms; /* likewise; 0: nothing was looked at */
	struct truth *truth;       /* with accept_history: what the hosts run; else NULL */
};
void look_result_free(struct look_result *result);

struct look_request {
	bool force;  /* plan again though nothing moved */
	bool resume; /* a running rollout of the branch is to be gone on with */
	/* `rollback CLIENT`: plan only this client, to the commit of a release that it ran. The
	 * plan is then of that commit, the author too. NULL: no; borrowed until the answer */
	const char *only;
	struct oid only_commit;
	/* drift: plan these clients likewise, to what is recorded of them at `only_commit` */
	const struct strlist *repair; /* NULL: no; borrowed until the answer */
	/* who asks */
	const char *instance; /* borrowed until the answer */
	bool leads, state_is_new;
	bool take_over; /* a person says that it leads from now on */
	int64_t epoch;  /* that it leads in, or tried to; 0: none yet */
};

struct git_thread;
/** Start the thread; its answers arrive in @p inbox, which must outlive it. */
MUST_USE bool git_thread_new(const struct git_options *options, struct inbox *inbox,
	struct git_thread **thread_out, struct error *err);
/** Ends what runs at once (remote calls are cancelled) and joins. */
void git_thread_free(struct git_thread *thread);
DEFINE_CLEANUP(struct git_thread, git_thread_free)
#define auto_git_thread CLEANUP(git_thread_free_at)

/** Answered by MESSAGE_LOOKED. */
void git_thread_look(struct git_thread *thread, struct look_request request);
/**
 * Answered by MESSAGE_APPENDED. The array and its facts stay the caller's and must live until then.
 * @param decided_on  tip of the status branch whose records led to these facts: a look that comes
 *                    before them may have seen a newer one
 */
void git_thread_append(struct git_thread *thread, uint64_t batch, struct fact *const *facts,
	size_t count, const struct oid *decided_on);
/** Prune rollback tags; no answer, failures are logged. */
void git_thread_prune_tags(struct git_thread *thread, size_t keep);
/** A handle of the mirror for another thread. */
MUST_USE bool git_thread_repo(struct git_thread *thread, struct repo **repo_out, struct error *err);
