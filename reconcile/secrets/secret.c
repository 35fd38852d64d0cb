/* Searching many values at once: a table keyed by the first six bytes of every spelling, so that a
 * text is walked once with one multiplication and one look into the table per byte. Where a start
 * is met, each length that spellings with it have is looked up whole in a second table: many values
 * with one start (URLs, common prefixes) cost no more than their different lengths.
 *
 *   text      ....hunter2-and-more....
 *   matches       [------)               all of them, also overlapping ones
 *                     [---------)
 *   masked    ....********....           their union, one mask for each
 *
 * A stream holds back from the first place at which a spelling could start and go on in the next
 * bytes. What was already masked but may be the start of another one is kept as `covered`.
 */
#include "reconcile/secrets/secret.h"
#include "base/arena.h"
#include "reconcile/secrets/secret_spelling.h"
#include <pthread.h>
#include <sodium.h>

#define MASK        "********"
#define PIECE_MAX   1024 /* longer values are registered in pieces */
#define LINE_MIN    16   /* lines of a long text (PEM keys) come out one at a time */
#define MEMORY_MAX  ((size_t)256 << 20)
#define PREFIX_BITS 65536

struct pattern {
	const char *text; /* in the arena */
	size_t len;
	uint32_t next_whole; /* in the chain of its whole text, index + 1 */
};

/* All patterns of one start and one length. */
struct group {
	const char *text; /* of one of them */
	size_t len;
	uint32_t next; /* in the chain of the start, index + 1 */
};

static struct {
	pthread_rwlock_t lock;
	struct arena *arena;
	struct pattern *patterns;
	size_t count, capacity;
	struct group *groups;
	size_t group_count, group_capacity;
	uint32_t *table; /* groups by start: 1 << bits heads of chains, index + 1 */
	uint32_t *whole; /* patterns by whole text, the same size */
	unsigned bits;
	size_t longest;
	uint64_t key; /* random and odd */
	unsigned char whole_key[crypto_shorthash_KEYBYTES];
	uint8_t prefixes[PREFIX_BITS / 8]; /* which starts of 1 to 5 bytes exist */
	bool full; /* no place for more values: mask everything rather than leak */
} registry = {.lock = PTHREAD_RWLOCK_INITIALIZER};

struct span {
	size_t start, end;
};

static void lock_for_reading(void)
{
	if (pthread_rwlock_rdlock(&registry.lock) != 0)
		abort(); /* our own mistake: the lock is never destroyed or nested */
}

static void lock_for_writing(void)
{
	if (pthread_rwlock_wrlock(&registry.lock) != 0)
		abort(); /* as above */
}

static void unlock(void)
{
	(void)pthread_rwlock_unlock(&registry.lock); /* held by us */
}

/* Keyed, so that the table tells nothing about a value's start. */
static uint64_t hash_start(const char *text, size_t len)
{
	uint64_t start = 0;
	memcpy(&start, text, len);
	return (start ^ (uint64_t)len << 56) * registry.key;
}

static uint32_t *chain_of(const char *text)
{
	return &registry.table[hash_start(text, SECRET_MIN) >> (64 - registry.bits)];
}

static size_t prefix_bit(const char *text, size_t len)
{
	return (size_t)(hash_start(text, len) >> 48) % PREFIX_BITS;
}

static uint32_t *whole_chain_of(const char *text, size_t len)
{
	uint64_t hash;
	(void)crypto_shorthash((unsigned char *)&hash, (const unsigned char *)text, len,
		registry.whole_key); /* always 0 */
	return &registry.whole[hash >> (64 - registry.bits)];
}

static void link_pattern(size_t index)
{
	struct pattern *pattern = &registry.patterns[index];
	uint32_t *head = whole_chain_of(pattern->text, pattern->len);
	pattern->next_whole = *head;
	*head = (uint32_t)index + 1;
}

static void link_group(size_t index)
{
	struct group *group = &registry.groups[index];
	uint32_t *head = chain_of(group->text);
	group->next = *head;
	*head = (uint32_t)index + 1;
}

static void add_group(const char *text, size_t len)
{
	for (uint32_t i = *chain_of(text); i; i = registry.groups[i - 1].next) {
		const struct group *group = &registry.groups[i - 1];
		if (group->len == len && memcmp(group->text, text, SECRET_MIN) == 0)
			return;
	}
	mem_grow(registry.groups, registry.group_count, registry.group_capacity);
	registry.groups[registry.group_count++] = (struct group){.text = text, .len = len};
	link_group(registry.group_count - 1);
}

static void grow_table(void)
{
	registry.bits = registry.bits ? registry.bits + 1 : 10;
	free(registry.table);
	free(registry.whole);
	registry.table = mem_zero((size_t)1 << registry.bits, sizeof(*registry.table));
	registry.whole = mem_zero((size_t)1 << registry.bits, sizeof(*registry.whole));
	for (size_t i = 0; i < registry.count; i++)
		link_pattern(i);
	for (size_t i = 0; i < registry.group_count; i++)
		link_group(i);
}

static bool is_known(const char *text, size_t len)
{
	if (!registry.count)
		return false;
	for (uint32_t i = *whole_chain_of(text, len); i; i = registry.patterns[i - 1].next_whole) {
		const struct pattern *pattern = &registry.patterns[i - 1];
		if (pattern->len == len && memcmp(pattern->text, text, len) == 0)
			return true;
	}
	return false;
}

static void start_registry(void)
{
	registry.arena = arena_new(ARENA_SECRET, MEMORY_MAX);
	randombytes_buf(&registry.key, sizeof(registry.key));
	registry.key |= 1;
	randombytes_buf(registry.whole_key, sizeof(registry.whole_key));
	grow_table();
}

static void add_pattern(void *data, const char *text, size_t len)
{
	(void)data; /* the registry is the only one */
	if (is_known(text, len))
		return;
	if (arena_used(registry.arena) > MEMORY_MAX / 2) {
		registry.full = true;
		return;
	}
	mem_grow(registry.patterns, registry.count, registry.capacity);
	registry.patterns[registry.count++] =
		(struct pattern){.text = arena_dup(registry.arena, text, len), .len = len};
	if (registry.count > (size_t)1 << registry.bits)
		grow_table();
	else
		link_pattern(registry.count - 1);
	add_group(registry.patterns[registry.count - 1].text, len);
	if (len > registry.longest)
		registry.longest = len;
	for (size_t i = 1; i < SECRET_MIN; i++) {
		size_t bit = prefix_bit(text, i);
		registry.prefixes[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

static void add_pieces(const char *value, size_t len)
{
	while (len) {
		size_t piece = len < PIECE_MAX + SECRET_MIN ? len : PIECE_MAX;
		secret_spellings(value, piece, add_pattern, NULL);
		value += piece;
		len -= piece;
	}
}

static void add_lines(const char *value, size_t len)
{
	const char *end = value + len;
	while (value < end) {
		const char *stop = memchr(value, '\n', (size_t)(end - value));
		size_t size = (size_t)((stop ? stop : end) - value);
		if (size >= LINE_MIN)
			add_pieces(value, size);
		value += size + 1;
	}
}

void secret_mask_add(const char *value, size_t len)
{
	if (len < SECRET_MIN)
		return;
	size_t piece = len < PIECE_MAX + SECRET_MIN ? len : PIECE_MAX;
	lock_for_reading();
	bool known = len == piece && is_known(value, len);
	unlock();
	if (known)
		return;
	lock_for_writing();
	if (!registry.arena)
		start_registry();
	add_pieces(value, len);
	if (memchr(value, '\n', len))
		add_lines(value, len);
	unlock();
}

void secret_mask_clear(void)
{
	lock_for_writing();
	arena_free(registry.arena);
	free(registry.patterns);
	free(registry.groups);
	free(registry.table);
	free(registry.whole);
	registry.arena = NULL;
	registry.patterns = NULL;
	registry.groups = NULL;
	registry.group_count = registry.group_capacity = 0;
	registry.table = registry.whole = NULL;
	registry.count = registry.capacity = registry.longest = 0;
	registry.bits = 0;
	registry.full = false;
	registry.key = 0;
	memset(registry.prefixes, 0, sizeof(registry.prefixes));
	unlock();
}

/* Length of the longest spelling that starts at `at`; *open_out: one may start here and go on
 * behind the end of the text. */
static size_t match_at(const char *text, size_t len, size_t at, bool *open_out)
{
	size_t left = len - at, longest = 0;
	*open_out = false;
	if (left < SECRET_MIN) {
		size_t bit = prefix_bit(text + at, left);
		*open_out = registry.prefixes[bit / 8] >> bit % 8 & 1;
		return 0;
	}
	for (uint32_t i = *chain_of(text + at); i; i = registry.groups[i - 1].next) {
		const struct group *group = &registry.groups[i - 1];
		if (memcmp(group->text, text + at, SECRET_MIN) != 0)
			continue;
		if (group->len > left)
			*open_out = true;
		else if (group->len > longest && is_known(text + at, group->len))
			longest = group->len;
	}
	return longest;
}

struct spans {
	struct span *items;
	size_t count, capacity;
};

static void spans_clear(struct spans *spans)
{
	free(spans->items);
}

static void add_span(struct spans *spans, size_t start, size_t end)
{
	struct span *last = spans->count ? &spans->items[spans->count - 1] : NULL;
	if (last && start <= last->end) {
		last->end = end > last->end ? end : last->end;
		return;
	}
	mem_grow(spans->items, spans->count, spans->capacity);
	spans->items[spans->count++] = (struct span){start, end};
}

/* All matches, united. Returns the first place from which a spelling could go on behind the end,
 * or @p len. */
static size_t find_spans(const char *text, size_t len, struct spans *spans)
{
	size_t hold = len;
	if (!registry.count)
		return len;
	for (size_t at = 0; at < len; at++) {
		bool open;
		size_t size = match_at(text, len, at, &open);
		if (size)
			add_span(spans, at, at + size);
		if (open && hold == len)
			hold = at;
	}
	return hold;
}

void secret_mask(struct buf *text)
{
	CLEANUP(spans_clear) struct spans spans = {0};
	lock_for_reading();
	find_spans(text->text, text->len, &spans);
	if (registry.full)
		add_span(&spans, 0, text->len);
	unlock();
	if (!spans.count)
		return;
	struct buf masked = BUF_INIT(text->limit);
	size_t at = 0;
	masked.secret = text->secret;
	for (size_t i = 0; i < spans.count; i++) {
		buf_add(&masked, text->text + at, spans.items[i].start - at);
		buf_add_str(&masked, MASK);
		at = spans.items[i].end;
	}
	buf_add(&masked, text->text + at, text->len - at);
	text->secret = true; /* what is replaced gets wiped */
	buf_clear(text);
	*text = masked;
}

struct secret_stream {
	void (*write)(void *data, const char *bytes, size_t len);
	void *data;
	char *held;
	size_t len;
	bool masked;    /* the last thing written was a mask */
	size_t covered; /* bytes at the start of `held` that belong to that mask */
};

struct secret_stream *secret_stream_new(
	void (*write)(void *data, const char *bytes, size_t len), void *data)
{
	struct secret_stream *stream = mem_zero(1, sizeof(*stream));
	stream->write = write;
	stream->data = data;
	return stream;
}

/* Writes what stands before @p hold. */
static void write_out(struct secret_stream *stream, const struct spans *spans, size_t hold)
{
	size_t at = 0, end = stream->covered;
	for (size_t i = 0; i < spans->count && spans->items[i].start < hold; i++) {
		const struct span *span = &spans->items[i];
		if (span->start > at)
			stream->write(stream->data, stream->held + at, span->start - at);
		if (span->start || !stream->masked)
			stream->write(stream->data, MASK, strlen(MASK));
		stream->masked = true;
		at = end = span->end;
	}
	if (at < hold) {
		stream->write(stream->data, stream->held + at, hold - at);
		stream->masked = false;
	}
	stream->covered = end > hold ? end - hold : 0;
}

static void keep_from(struct secret_stream *stream, size_t hold)
{
	size_t left = stream->len - hold;
	memmove(stream->held, stream->held + hold, left);
	sodium_memzero(stream->held + left, hold);
	stream->len = left;
}

/* Scans what is held; @p last: nothing more will come. */
static void flush(struct secret_stream *stream, bool last)
{
	CLEANUP(spans_clear) struct spans spans = {0};
	if (stream->masked)
		add_span(&spans, 0, stream->covered);
	lock_for_reading();
	size_t hold = find_spans(stream->held, stream->len, &spans);
	if (registry.full && stream->len)
		add_span(&spans, 0, stream->len);
	unlock();
	if (last)
		hold = stream->len;
	write_out(stream, &spans, hold);
	keep_from(stream, hold);
}

void secret_stream_add(struct secret_stream *stream, const char *bytes, size_t len)
{
	if (!len)
		return;
	char *joined = mem_alloc(stream->len + len);
	if (stream->len)
		memcpy(joined, stream->held, stream->len);
	memcpy(joined + stream->len, bytes, len);
	if (stream->held)
		sodium_memzero(stream->held, stream->len);
	free(stream->held);
	stream->held = joined;
	stream->len += len;
	flush(stream, false);
}

void secret_stream_end(struct secret_stream *stream)
{
	if (!stream)
		return;
	if (stream->len)
		flush(stream, true);
	free(stream->held);
	free(stream);
}
