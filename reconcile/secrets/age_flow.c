/* Age files of any size in the memory of two chunks: from a source to a sink. */
#include "reconcile/secrets/age_flow.h"
#include "reconcile/secrets/age_stream.h"
#include <sodium.h>

/* Bytes between the source and us, and a chunk that goes out. */
struct pipe {
	const struct age_flow *flow;
	uint8_t *in, *out;
	size_t have; /* in `in` */
};

static void pipe_init(struct pipe *pipe, const struct age_flow *flow, size_t size)
{
	*pipe = (struct pipe){.flow = flow, .in = mem_alloc(size)};
	pipe->out = mem_alloc(AGE_SEALED_SIZE);
}

static void pipe_clear(struct pipe *pipe, size_t size)
{
	sodium_memzero(pipe->in, size);
	sodium_memzero(pipe->out, AGE_SEALED_SIZE);
	free(pipe->in);
	free(pipe->out);
}

/* Fills up to @p size; fewer bytes are there only at the end. */
static bool fill(struct pipe *pipe, size_t size, struct error *err)
{
	while (pipe->have < size) {
		ssize_t got = pipe->flow->read(
			pipe->flow->data, pipe->in + pipe->have, size - pipe->have, err);
		if (got < 0)
			return false;
		if (!got)
			break;
		pipe->have += (size_t)got;
	}
	return true;
}

/* Drops what was used; little of it is left, if any. */
static void take(struct pipe *pipe, size_t size)
{
	memmove(pipe->in, pipe->in + size, pipe->have - size);
	pipe->have -= size;
}

static bool seal(struct pipe *pipe, const uint8_t *key, struct error *err)
{
	auto_age_stream struct age_stream stream;
	bool last = false, ok = true;
	age_stream_init(&stream, key, true);
	while (ok && !last) {
		/* one byte more tells that this chunk is not the last */
		ok = fill(pipe, AGE_CHUNK_SIZE + 1, err);
		last = pipe->have <= AGE_CHUNK_SIZE;
		size_t size = last ? pipe->have : AGE_CHUNK_SIZE;
		if (!ok)
			break;
		age_stream_seal_chunk(&stream, (struct age_bytes){pipe->in, size}, last, pipe->out);
		ok = pipe->flow->write(pipe->flow->data, pipe->out, size + AGE_TAG_SIZE, err);
		take(pipe, size);
	}
	return ok;
}

bool age_flow_encrypt(
	const struct age_recipients *recipients, const struct age_flow *flow, struct error *err)
{
	auto_buf struct buf head = BUF_INIT(AGE_MAX_HEADER + AGE_NONCE_SIZE);
	struct age_start start;
	struct pipe pipe;
	if (!age_start_write(recipients, &head, &start, err))
		return false;
	pipe_init(&pipe, flow, AGE_CHUNK_SIZE + 1);
	bool ok = flow->write(flow->data, head.text, head.len, err) && seal(&pipe, start.key, err);
	pipe_clear(&pipe, AGE_CHUNK_SIZE + 1);
	sodium_memzero(&start, sizeof(start));
	return ok;
}

static bool open_payload(struct pipe *pipe, const uint8_t *key, struct error *err)
{
	auto_age_stream struct age_stream stream;
	age_stream_init(&stream, key, false);
	for (;;) {
		if (!fill(pipe, AGE_SEALED_SIZE, err))
			return false;
		if (stream.last && !pipe->have)
			return true;
		size_t size = pipe->have < AGE_SEALED_SIZE ? pipe->have : AGE_SEALED_SIZE;
		if (!age_stream_open_chunk(
			    &stream, (struct age_bytes){pipe->in, size}, pipe->out, err) ||
			!pipe->flow->write(pipe->flow->data, pipe->out, size - AGE_TAG_SIZE, err))
			return false;
		take(pipe, size);
	}
}

/* The start is as long as a header may be: what is behind the header stays in the pipe. */
#define START_SIZE (AGE_MAX_HEADER + AGE_NONCE_SIZE)

bool age_flow_decrypt(const struct age_identities *identities, const struct age_flow *flow,
	enum age_failure *failure_out, struct error *err)
{
	struct age_start start = {0};
	struct pipe pipe;
	*failure_out = AGE_HEADER;
	pipe_init(&pipe, flow, START_SIZE);
	bool ok = fill(&pipe, START_SIZE, err) &&
		  age_start_read((struct age_bytes){pipe.in, pipe.have}, identities, &start,
			  failure_out, err);
	if (ok) {
		take(&pipe, start.size);
		ok = open_payload(&pipe, start.key, err);
		*failure_out = ok ? AGE_OK : AGE_PAYLOAD;
	}
	pipe_clear(&pipe, START_SIZE);
	sodium_memzero(&start, sizeof(start));
	return ok;
}
