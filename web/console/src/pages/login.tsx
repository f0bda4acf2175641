// Signing in by the one-time link that `fairlead console` prints.
import { useEffect, useRef, useState } from 'preact/hooks'
import { messageOf } from '../api'
import { navigate, query } from '../router'
import { session, signIn } from '../state'
import { Banner, Copy, Field } from '../ui/basics'
import { Dialog } from '../ui/dialog'

// The token out of a link, or the token itself.
export const tokenOf = (text: string) => text.trim().replace(/^.*#/s, '')

// Out of the address bar and the history at once; kept in memory only.
function takeToken(): string {
	const token = tokenOf(location.hash)
	if (location.hash) history.replaceState(null, '', location.pathname + location.search)
	return token
}

function usePaste(onDone: () => void) {
	const [text, setText] = useState('')
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const input = useRef<HTMLInputElement>(null)
	const submit = async (e: Event) => {
		e.preventDefault()
		if (!tokenOf(text)) {
			setError('Paste the link that the command prints.')
			input.current?.focus()
			return
		}
		setWorking(true)
		try {
			await signIn(tokenOf(text))
			onDone()
		} catch (e) {
			setError(messageOf(e))
			setWorking(false)
			input.current?.focus()
		}
	}
	return { text, setText: (t: string) => { setText(t); setError('') }, error, working, input, submit }
}

function PasteForm({ onDone, autofocus }: { onDone: () => void; autofocus?: boolean }) {
	const paste = usePaste(onDone)
	return (
		<form onSubmit={paste.submit} noValidate>
			<p>On the server, type this and open the link that it prints, or paste the link here. It is good once, for 10 minutes.</p>
			<div class="command"><code class="block">fairlead console</code><Copy text="fairlead console" label="Copy the command" /></div>
			<Field label="One-time link" error={paste.error}>
				{props => (
					<input
						{...props} ref={paste.input} type="text" class="mono" autocomplete="off" autocapitalize="off" spellcheck={false} autofocus={autofocus}
						value={paste.text} onInput={e => paste.setText(e.currentTarget.value)}
					/>
				)}
			</Field>
			<div class="dialog-actions"><button type="submit" class="button primary" disabled={paste.working}>{paste.working ? 'Signing in…' : 'Sign in'}</button></div>
		</form>
	)
}

export function LoginPage() {
	const [token, setToken] = useState(takeToken)
	const [error, setError] = useState('')
	const [working, setWorking] = useState(false)
	const next = query.value.get('next') ?? '/'
	const go = () => navigate(next.startsWith('/') && !next.startsWith('//') ? next : '/', { replace: true })
	useEffect(() => {
		document.title = 'Sign in · Fairlead'
		const changed = () => { const t = takeToken(); if (t) { setToken(t); setError('') } }
		addEventListener('hashchange', changed)
		return () => removeEventListener('hashchange', changed)
	}, [])
	const submit = async () => {
		setWorking(true)
		try {
			await signIn(token)
			go()
		} catch (e) {
			setError(messageOf(e))
			setToken('')
			setWorking(false)
		}
	}
	return (
		<main class="login" id="content">
			<div class="login-card">
				<p class="brand"><Mark /> Fairlead</p>
				<h1 tabIndex={-1}>{session.value && !token ? 'You are signed in' : `Sign in to ${location.host}`}</h1>
				{error && <Banner tone="bad" alert>{error}</Banner>}
				{token ? (
					<>
						{session.value && <p>This link starts another session, in place of the one as {session.value.name}.</p>}
						{!session.value && <p>The one-time link is used up when you sign in. It is out of the address bar already.</p>}
						<button type="button" class="button primary wide-button" disabled={working} onClick={submit}>{working ? 'Signing in…' : 'Sign in'}</button>
					</>
				) : session.value ? <button type="button" class="button primary" onClick={go}>Open the console</button> : <PasteForm onDone={go} />}
				{location.protocol === 'http:' && (
					<p class="note">
						This page came over plain http: what you see and do can be read on the way. That is fine on this machine or in a private network only.
					</p>
				)}
			</div>
		</main>
	)
}

// Over the page that was in use: what was typed there stays.
export function SessionEnded() {
	return (
		<Dialog title="Your session has ended" onClose={() => {}}>
			<p>Sign in again to go on. What you typed on this page is kept.</p>
			<PasteForm onDone={() => {}} autofocus />
		</Dialog>
	)
}

export const Mark = () => (
	<svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
		<rect width="32" height="32" rx="7" fill="currentColor" />
		<g fill="none" class="mark-line" stroke-width="2.6" stroke-linecap="round">
			<path d="M10 25V11a4 4 0 0 1 4-4h8M10 16h9" /><circle cx="22.5" cy="22.5" r="3.2" />
		</g>
	</svg>
)
