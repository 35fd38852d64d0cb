/* Any bytes as the output of ansible-playbook, in one piece and in two: what is found is the same,
 * and what is shown has no line too many. */
#include "reconcile/drivers/ansible_events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep(void *shown, const char *bytes, size_t len)
{
	buf_add(shown, bytes, len);
}

static void hear(const uint8_t *data, size_t size, size_t cut, struct ansible_events *events,
	struct buf *shown)
{
	ansible_events_init(events, keep, shown);
	ansible_events_add(events, (const char *)data, cut);
	ansible_events_add(events, (const char *)data + cut, size - cut);
	ansible_events_end(events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf whole = BUF_INIT((size_t)64 << 20);
	auto_buf struct buf torn = BUF_INIT((size_t)64 << 20);
	struct ansible_events one, two;
	hear(data, size, 0, &one, &whole);
	hear(data, size, size ? data[0] % size : 0, &two, &torn);
	bool same = one.ended == two.ended && one.done == two.done && one.failed == two.failed &&
		    one.unreachable == two.unreachable && strcmp(one.what, two.what) == 0 &&
		    strcmp(one.why, two.why) == 0 && whole.len == torn.len &&
		    memcmp(whole.text, torn.text, whole.len) == 0;
	if (!same)
		abort();
	return 0;
}
