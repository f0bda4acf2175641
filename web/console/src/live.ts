/*
 * The stream of events: one for all tabs. The tab that holds the lock reads it and passes every event on; when it
 * goes, another takes over from the last event. Where the browser has no locks (plain http on a private address)
 * each tab reads its own.
 *
 * fetch, not EventSource: this way the console sees the status of a refusal, chooses its own pauses and can go on
 * from an event that another tab read.
 */
import { signal } from '@preact/signals'
import { API } from './api'
import { backoff, EventParser, type ServerEvent } from './lib/sse'

export type Live =
	| { kind: 'connecting' }
	| { kind: 'live' }
	| { kind: 'down'; since: number; retryAt: number }

export const live = signal<Live>({ kind: 'connecting' })

const SILENCE_MS = 50_000 // the server says something every 20 s

type Message = { kind: 'event'; event: ServerEvent } | { kind: 'state'; live: Live } | { kind: 'who' } | { kind: 'signed-in' }

let channel: BroadcastChannel | undefined
let onEvent: (event: ServerEvent) => void = () => {}
let onUnauthorized: () => void = () => {}
let lastId = ''
let leading = false
let started = false
let wake: () => void = () => {}
let stop = new AbortController()

function take(event: ServerEvent) {
	if (event.id) lastId = event.id
	onEvent(event)
}

function setLive(state: Live) {
	live.value = state
	if (leading) channel?.postMessage({ kind: 'state', live: state } satisfies Message)
}

async function readOnce(signal: AbortSignal): Promise<'unauthorized' | 'ended'> {
	const headers: Record<string, string> = { Accept: 'text/event-stream' }
	if (lastId) headers['Last-Event-ID'] = lastId
	const response = await fetch(`${API}/events`, { headers, cache: 'no-store', credentials: 'same-origin', signal })
	if (response.status === 401) return 'unauthorized'
	if (!response.ok || !response.body) throw new Error(String(response.status))
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
	const parser = new EventParser()
	let silence: ReturnType<typeof setTimeout> | undefined
	try {
		for (;;) {
			clearTimeout(silence)
			silence = setTimeout(() => void reader.cancel(), SILENCE_MS)
			const { done, value } = await reader.read()
			if (done) return 'ended'
			if (live.value.kind !== 'live') setLive({ kind: 'live' })
			for (const event of parser.feed(value)) {
				channel?.postMessage({ kind: 'event', event } satisfies Message)
				take(event)
			}
		}
	} finally {
		clearTimeout(silence)
		reader.releaseLock()
	}
}

async function lead(signal: AbortSignal) {
	leading = true
	let attempt = 0
	while (!signal.aborted) {
		let end = 'ended'
		try {
			end = await readOnce(signal)
		} catch {
			if (signal.aborted) break
		}
		if (signal.aborted) break
		if (live.value.kind === 'live') attempt = 0
		const since = live.value.kind === 'down' ? live.value.since : Date.now()
		const pause = end === 'unauthorized' ? 30_000 : backoff(attempt++, Math.random())
		setLive({ kind: 'down', since, retryAt: Date.now() + pause })
		if (end === 'unauthorized') onUnauthorized()
		await new Promise<void>(resolve => {
			const timer = setTimeout(resolve, pause)
			wake = () => {
				clearTimeout(timer)
				resolve()
			}
		})
	}
	leading = false
}

function listen(e: MessageEvent<Message>) {
	const m = e.data
	if (m.kind === 'event') take(m.event)
	else if (m.kind === 'state') live.value = m.live
	else if (m.kind === 'who' && leading) setLive(live.value)
	else if (m.kind === 'signed-in') onSignedInElsewhere()
}

let onSignedInElsewhere: () => void = () => {}

export function startLive(handlers: { event: typeof onEvent; unauthorized: () => void; signedInElsewhere: () => void }) {
	onEvent = handlers.event
	onUnauthorized = handlers.unauthorized
	onSignedInElsewhere = handlers.signedInElsewhere
	if (started) return
	started = true
	stop = new AbortController()
	const { signal } = stop
	if ('BroadcastChannel' in window && navigator.locks) {
		channel = new BroadcastChannel('fairlead')
		channel.addEventListener('message', listen)
		channel.postMessage({ kind: 'who' } satisfies Message)
		navigator.locks.request('fairlead-events', { signal }, () => lead(signal)).catch(() => {})
	} else {
		void lead(signal)
	}
	window.addEventListener('online', () => wake())
}

export function stopLive() {
	stop.abort()
	wake()
	channel?.close()
	channel = undefined
	started = false
	lastId = ''
	live.value = { kind: 'connecting' }
}

// Tries again now, also in other tabs.
export function retryLive() {
	wake()
}

export function tellSignedIn() {
	channel?.postMessage({ kind: 'signed-in' } satisfies Message)
	wake()
}
