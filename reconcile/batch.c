#include "reconcile/batch.h"

static struct batch batch_at(const struct batches *batches, size_t wave)
{
	if (!batches->count)
		return (struct batch){.size = 1};
	return batches->items[wave < batches->count ? wave : batches->count - 1];
}

static size_t clients_of(struct batch batch, size_t clients)
{
	size_t size = (size_t)batch.size;
	if (batch.percent)
		size = clients * size / 100;
	return size ? size : 1;
}

size_t batches_wave(const struct batches *batches, size_t clients, size_t wave)
{
	return clients_of(batch_at(batches, wave), clients);
}

size_t batches_room(const struct batches *batches, size_t clients, size_t started)
{
	size_t end = 0;
	for (size_t wave = 0; wave + 1 < batches->count; wave++) {
		end += batches_wave(batches, clients, wave);
		if (started < end)
			return end - started;
	}
	size_t last = batches_wave(batches, clients, batches->count);
	return last - (started - end) % last;
}

void batches_make_stricter(struct batches *batches, const struct batches *old, size_t clients)
{
	struct batches strict = {
		.count = batches->count > old->count ? batches->count : old->count};
	for (size_t wave = 0; wave < strict.count; wave++) {
		struct batch now = batch_at(batches, wave), before = batch_at(old, wave);
		bool smaller = clients_of(before, clients) < clients_of(now, clients);
		strict.items[wave] = smaller ? before : now;
	}
	*batches = strict;
}
