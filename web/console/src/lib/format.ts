// Time, bytes and counts as people read them. Pure: the caller says what time it is.

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
export const WEEK = 7 * DAY

const dateFormat = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
const clockFormat = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const exactFormat = new Intl.DateTimeFormat('en-GB', {
	day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
})
const utcFormat = new Intl.DateTimeFormat('en-GB', {
	day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit', timeZone: 'UTC',
})
const countFormat = new Intl.NumberFormat('en')
const digitsFormat = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

// 1604 -> "1,604"
export const count = (n: number) => countFormat.format(n)

// plural(1, 'machine') -> "1 machine", plural(2000, 'machine') -> "2,000 machines"
export const plural = (n: number, one: string, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`

export const date = (ms: number) => dateFormat.format(ms)
export const clock = (ms: number) => clockFormat.format(ms)
// Local and UTC, for tooltips and detail pages.
export const exact = (ms: number) => `${exactFormat.format(ms)} here, ${utcFormat.format(ms)} UTC`

// Two units at most: "45 s", "12 min", "3 h 5 min", "3 d 4 h".
export function duration(ms: number): string {
	const parts: [number, string][] = [
		[Math.floor(ms / DAY), 'd'], [Math.floor(ms / HOUR) % 24, 'h'], [Math.floor(ms / MINUTE) % 60, 'min'],
	]
	const first = parts.findIndex(([n]) => n > 0)
	if (first < 0) return `${Math.max(0, Math.floor(ms / 1000))} s`
	return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(' ')
}

function largestUnit(ms: number): string {
	if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`
	if (ms < DAY) return `${Math.floor(ms / HOUR)} h`
	return `${Math.floor(ms / DAY)} d`
}

// A time from the past or the future, seen from now: relative below a week, else the date.
export function when(ms: number, now: number): string {
	const past = now - ms
	if (Math.abs(past) >= WEEK) return date(ms)
	if (Math.abs(past) < MINUTE) return past >= 0 ? 'now' : 'in a moment'
	return past > 0 ? `${largestUnit(past)} ago` : `in ${largestUnit(-past)}`
}

function scaled(n: number, step: number, units: string[]): string {
	let i = 0
	// Three digits at most: 1,000 KiB is already 0.98 MiB.
	while (Number(digitsFormat.format(n).replaceAll(',', '')) >= 1000 && i < units.length - 1) {
		n /= step
		i++
	}
	return `${digitsFormat.format(n)} ${units[i]}`
}

// Amounts by 1024: "1.2 GiB".
export const bytes = (n: number) => scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'])
// Rates by 1000: "12.4 MB/s".
export const rate = (perSecond: number) => scaled(perSecond, 1000, ['B/s', 'kB/s', 'MB/s', 'GB/s', 'TB/s'])
