// Server-sent events out of a text that arrives in pieces (HTML standard, 9.2.6). Pure.

export interface ServerEvent {
	id: string // the last one said, also when this event has none
	type: string
	data: string
}

export class EventParser {
	private rest = ''
	private id = ''
	private type = ''
	private data: string[] = []

	feed(text: string): ServerEvent[] {
		const out: ServerEvent[] = []
		const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/)
		this.rest = lines.pop()!
		for (const line of lines) {
			if (line === '') {
				if (this.data.length) out.push({ id: this.id, type: this.type || 'message', data: this.data.join('\n') })
				this.type = ''
				this.data = []
				continue
			}
			const m = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
			const value = m[2] ?? ''
			if (m[1] === 'id') this.id = value
			else if (m[1] === 'event') this.type = value
			else if (m[1] === 'data') this.data.push(value)
		}
		return out
	}
}

// Waits between attempts: 1, 2, 4, … 30 s, each up to a third shorter by chance.
export const backoff = (attempt: number, random: number) =>
	Math.round(Math.min(30_000, 1000 * 2 ** Math.min(attempt, 10)) * (1 - random / 3))
