/* What a host answers, in pieces, to each kind of task; the first byte says which. Lines begin with
 * the nonce of sixteen zeros. */
#include "reconcile/drivers/ssh_talk.h"

#define NONCE "0000000000000000"

static const enum driver_work kinds[] = {DRIVER_ASK, DRIVER_ACTIVATE, DRIVER_COMMAND};

static void listen_to(struct talk *talk, const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		size_t len = 1 + data[at] % 64;
		len = len < size - at ? len : size - at;
		const char *bytes = NULL;
		enum talk_state state = talk_hear(talk, (const char *)data + at, len);
		if (state == TALK_READY)
			talk_go_on(talk);
		size_t left = talk_next(talk, &bytes);
		if (left)
			talk_sent(talk, left > 100 ? 100 : left);
		if (state == TALK_ENDED)
			return;
		at += len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char digest[] =
		"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char *const argv[] = {"true", NULL};
	static const struct driver_file files[] = {{"a", 0644, "1", 1}, {"b/c", 0600, "2", 1}};
	static const struct driver_host host = {.client = "alpha", .root = "/opt/alpha"};
	const struct driver_release release = {.digest = digest,
		.files = files,
		.count = ARRAY_LEN(files),
		.commit = "c",
		.rollout = "r",
		.stage = "s",
		.action = "upgrade"};
	struct error err;
	struct talk *talk = NULL;
	struct driver_task task = {.host = &host, .release = &release, .argv = argv};
	if (!size)
		return 0;
	task.work = kinds[data[0] % ARRAY_LEN(kinds)];
	if (!talk_new(&task, NONCE, &talk, &err))
		abort();
	listen_to(talk, data + 1, size - 1);
	struct error none = {0};
	struct buf errors = BUF_INIT(100);
	talk_break(talk, &none, &errors);
	if (!task.ok && task.err.code == ERR_NONE)
		abort();
	talk_free(talk);
	return 0;
}
