// The frame: navigation, live state, what concerns every page.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ComponentChildren } from 'preact'
import { clock, count } from './lib/format'
import { live, retryLive } from './live'
import { path, navigate } from './router'
import { dropProblem, dropToast, problem, problems, toasts, type Toast } from './notices'
import { loginCount, logins, machines, newerServer, pendingCount, resume, roleName, routesCount, session, sessionEnded, signOut, sshChecks, sshCount, startError } from './state'
import { messageOf } from './api'
import { Banner, said, Shape } from './ui/basics'
import { isPhone } from './ui/list'
import { MenuButton, MenuHost, type MenuItem } from './ui/menu'
import { ClustersPage } from './pages/clusters'
import { CreateKeyDialog } from './pages/create-key'
import { KeysPage } from './pages/keys'
import { LoginPage, Mark, SessionEnded } from './pages/login'
import { MachineDialogs } from './pages/machine-dialogs'
import { MachinePage } from './pages/machine'
import { MachinesPage } from './pages/machines'
import { OverviewPage } from './pages/overview'
import { PageHead } from './pages/page-head'
import { PolicyBanners, PolicyDialog } from './pages/policy'
import { RelayPage } from './pages/relay'
import { SettingsPage } from './pages/settings'

const icons = {
	overview: <path d="M3 12a9 9 0 1 1 18 0M12 12l4-4M3 12v3h3m15-3v3h-3" />,
	machines: <path d="M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.01M7.5 16h.01M11 8h6M11 16h6" />,
	clusters: <path d="M12 3l4 2.3v4.4L12 12 8 9.7V5.3zM7 12.5l4 2.3v4L7 21l-4-2.2v-4zM17 12.5l4 2.3v4L17 21l-4-2.2v-4z" />,
	relay: <path d="M12 12h.01M8.5 15.5a5 5 0 0 1 0-7M15.5 8.5a5 5 0 0 1 0 7M5.6 18.4a9 9 0 0 1 0-12.8M18.4 5.6a9 9 0 0 1 0 12.8" />,
	settings: <path d="M4 7h9m5 0h2M4 17h2m5 0h9M13 7a2.5 2.5 0 1 0 5 0 2.5 2.5 0 0 0-5 0zM6 17a2.5 2.5 0 1 0 5 0 2.5 2.5 0 0 0-5 0z" />,
	keys: <path d="M14.5 3.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM10 14l-7 7M6 18l2 2M15.5 8.5h.01" />,
}

const entries = [
	{ href: '/', label: 'Overview', icon: icons.overview },
	{ href: '/machines', label: 'Machines', icon: icons.machines },
	{ href: '/keys', label: 'Keys', icon: icons.keys },
	{ href: '/clusters', label: 'Clusters', icon: icons.clusters },
	{ href: '/relay', label: 'Relay', icon: icons.relay },
	{ href: '/settings', label: 'Settings', icon: icons.settings },
]

function Nav() {
	const here = path.value
	return (
		<nav aria-label="Main">
			<ul role="list">
				{entries.map(e => {
					const current = e.href === '/' ? here === '/' : here === e.href || here.startsWith(`${e.href}/`)
					const badge = e.href === '/machines' ? pendingCount.value + routesCount.value + loginCount.value + sshCount.value : 0
					return (
						<li key={e.href}>
							<a href={e.href} aria-current={current ? 'page' : undefined}>
								<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round">{e.icon}</svg>
								<span>{e.label}</span>
								{badge > 0 && <span class="badge">{count(badge)}<span class="sr"> waiting</span></span>}
							</a>
						</li>
					)
				})}
			</ul>
		</nav>
	)
}

function LiveWord() {
	const state = live.value
	const [, tick] = useState(0)
	useEffect(() => {
		if (state.kind !== 'down') return
		const timer = setInterval(() => tick(n => n + 1), 1000)
		return () => clearInterval(timer)
	}, [state.kind])
	if (state.kind === 'live') return <span class="status ok live"><Shape name="dot" /> Live</span>
	if (state.kind === 'connecting') return <span class="status off live"><Shape name="half" /> Connecting</span>
	const s = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000))
	return <span class="status warn live"><Shape name="triangle" /> Not connected{s > 0 && <span class="retry">retry in {s} s</span>}</span>
}

type Theme = 'system' | 'light' | 'dark'
function setTheme(theme: Theme) {
	if (theme === 'system') delete document.documentElement.dataset.theme
	else document.documentElement.dataset.theme = theme
	try {
		if (theme === 'system') localStorage.removeItem('theme')
		else localStorage.setItem('theme', theme)
	} catch {
		// Storage is switched off: the choice lasts for this page.
	}
}

function accountMenu(): MenuItem[] {
	const theme = (document.documentElement.dataset.theme ?? 'system') as Theme
	const themes: [Theme, string][] = [['system', 'Theme of the system'], ['light', 'Light theme'], ['dark', 'Dark theme']]
	return [
		...themes.map(([t, label]) => ({ label: `${t === theme ? '✓ ' : ''}${label}`, run: () => setTheme(t) })),
		{ label: 'Licences', run: () => window.open('/licenses.txt', '_blank', 'noopener') },
		{ label: 'Sign out', run: () => void signOut().then(() => navigate('/login'), e => problem(`Could not sign out. ${messageOf(e)}`)) },
	]
}

function Account() {
	const s = session.value!
	return (
		<MenuButton owner="account" label={`Account: ${s.name} ${roleName(s.role)}`} items={accountMenu} class="account">
			<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round">
				<circle cx="12" cy="8" r="4" /><path d="M4.5 20.5a7.5 7.5 0 0 1 15 0" />
			</svg>
			<span class="account-text"><span class="account-name">{s.name}</span> <span class="muted">{roleName(s.role)}</span></span>
		</MenuButton>
	)
}

function ToastItem({ t }: { t: Toast }) {
	const [held, setHeld] = useState(false)
	useEffect(() => {
		// One that can be undone goes with the change that it speaks of.
		if (held || t.undo) return
		const timer = setTimeout(() => dropToast(t.id), 6000)
		return () => clearTimeout(timer)
	}, [held])
	return (
		<div class="toast" onPointerEnter={() => setHeld(true)} onPointerLeave={() => setHeld(false)}>
			<span>{t.text}</span>
			{t.undo
				? <button type="button" class="button small" onClick={t.undo}>Undo</button>
				: <button type="button" class="close" aria-label="Dismiss" onClick={() => dropToast(t.id)}>×</button>}
		</div>
	)
}

function Notices() {
	const state = live.value
	const role = session.value?.role ?? ''
	return (
		<>
			{state.kind === 'down' && (
				<Banner tone="warn" action={<button type="button" class="button" onClick={retryLive}>Try now</button>}>
					Not connected to the server: this is the data of {clock(state.since)}. Changes are not possible until it is back.
				</Banner>
			)}
			{newerServer.value && (
				<Banner tone="info" action={<button type="button" class="button" onClick={() => location.reload()}>Reload</button>}>Console was updated.</Banner>
			)}
			{role !== 'owner' && role !== 'admin' && (
				<Banner tone="info">You are signed in as {roleName(role)}: you can look at everything{role === 'network-admin' ? ', create keys, approve routes, confirm policies and change relays' : ', and change nothing'}.</Banner>
			)}
			<PolicyBanners />
			{problems.value.map(p => (
				<Banner key={p.id} tone="bad" alert action={<button type="button" class="button" onClick={() => dropProblem(p.id)}>Dismiss</button>}>{p.text}</Banner>
			))}
		</>
	)
}

function Page() {
	const parts = path.value.split('/').filter(Boolean)
	if (!parts.length) return <OverviewPage />
	if (parts[0] === 'machines' && parts.length === 1) return <MachinesPage />
	if (parts[0] === 'machines' && parts.length === 2) return <MachinePage key={parts[1]} id={decodeURIComponent(parts[1]!)} />
	if (parts[0] === 'keys' && parts.length === 1) return <KeysPage />
	if (parts[0] === 'clusters' && parts.length === 1) return <ClustersPage />
	if (parts[0] === 'relay' && parts.length === 1) return <RelayPage />
	if (parts[0] === 'settings' && parts.length === 1) return <SettingsPage />
	return (
		<>
			<PageHead title="No such page" />
			<div class="empty"><p>There is nothing at <code>{path.value}</code>.</p><a class="button" href="/">Overview</a></div>
		</>
	)
}

function searchKey(e: KeyboardEvent) {
	const typing = (e.target as Element).closest('input, textarea, select, [contenteditable]')
	const slash = e.key === '/' && !typing && !e.ctrlKey && !e.metaKey && !e.altKey
	const k = e.key.toLowerCase() === 'k' && (e.ctrlKey || e.metaKey) && !e.shiftKey && !e.altKey
	if ((!slash && !k) || document.querySelector('dialog[open]')) return
	e.preventDefault()
	const focus = () => {
		const field = document.querySelector<HTMLInputElement>('#search')
		field?.focus()
		field?.select()
		return !!field
	}
	if (focus()) return
	navigate('/machines')
	// A page that was just opened draws first.
	setTimeout(focus, 60)
}

function Shell({ children }: { children: ComponentChildren }) {
	// The number of those that wait stands on every page.
	machines.want()
	logins.want()
	sshChecks.want()
	useEffect(() => {
		addEventListener('keydown', searchKey)
		return () => removeEventListener('keydown', searchKey)
	}, [])
	return (
		<>
			<a class="skip" href="#content" onClick={e => { e.preventDefault(); document.querySelector<HTMLElement>('h1')?.focus() }}>Skip to content</a>
			<div class="shell">
				<header class="side">
					<a class="brand" href="/"><Mark /> <span>Fairlead</span></a>
					{!isPhone.value && <Nav />}
					<div class="side-foot"><LiveWord /><Account /></div>
				</header>
				<main id="content"><div class="content">{children}</div><MenuHost /></main>
				{isPhone.value && <div class="bottom"><Nav /></div>}
			</div>
		</>
	)
}

export function App() {
	const started = useRef(false)
	useEffect(() => {
		if (started.current) return
		started.current = true
		void resume()
	}, [])
	const s = session.value
	useEffect(() => {
		if (s === null && path.value !== '/login') {
			const back = location.pathname + location.search
			navigate(back === '/' ? '/login' : `/login?next=${encodeURIComponent(back)}`, { replace: true })
		}
	}, [s, path.value])

	let body: ComponentChildren
	if (path.value === '/login') body = <LoginPage />
	else if (s) body = <Shell><Notices /><Page /></Shell>
	else if (startError.value) {
		body = (
			<main class="login" id="content"><div class="login-card">
				<p class="brand"><Mark /> Fairlead</p>
				<h1>The server does not answer</h1>
				<p>{startError.value}</p>
				<button type="button" class="button primary" onClick={() => { startError.value = ''; void resume() }}>Try again</button>
			</div></main>
		)
	} else body = <p class="sr" role="status">Loading the console</p>
	return (
		<>
			{body}
			{s && <><MachineDialogs /><CreateKeyDialog /><PolicyDialog /></>}
			{s && sessionEnded.value && <SessionEnded />}
			<div class="toasts" role="status">{toasts.value.map(t => <ToastItem key={t.id} t={t} />)}</div>
			<div class="sr" role="status">{said.value}</div>
		</>
	)
}
