/* Integers on the wire. No bounds are checked here: the parser around it has done that. */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdint.h>

static inline uint16_t
wire_u16be(const uint8_t *p)
{
	return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t
wire_u32be(const uint8_t *p)
{
	return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static inline uint64_t
wire_u64be(const uint8_t *p)
{
	return ((uint64_t)wire_u32be(p) << 32) | wire_u32be(p + 4);
}

static inline void
wire_put_u16be(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void
wire_put_u32be(uint8_t *p, uint32_t v)
{
	wire_put_u16be(p, (uint16_t)(v >> 16));
	wire_put_u16be(p + 2, (uint16_t)v);
}

static inline void
wire_put_u64be(uint8_t *p, uint64_t v)
{
	wire_put_u32be(p, (uint32_t)(v >> 32));
	wire_put_u32be(p + 4, (uint32_t)v);
}

static inline void
wire_put_u32le(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

#endif
