// The real server, a real browser, real clients. Whatever a page complains of fails the test.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { chromium } from 'playwright-core'

const top = fileURLToPath(new URL('../../..', import.meta.url))
const bin = path.resolve(process.env.FAIRLEAD_BIN ?? path.join(top, 'build/fairlead'))
const joinnode = path.resolve(process.env.JOINNODE_BIN ?? path.join(top, 'build/joinnode'))
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const run = promisify(execFile)

const freePort = () => new Promise((resolve, reject) => {
	const s = createServer()
	s.on('error', reject)
	s.listen(0, '127.0.0.1', () => {
		const { port } = s.address()
		s.close(() => resolve(port))
	})
})

export async function startServer({ flags = [] } = {}) {
	const dir = await mkdtemp(path.join(tmpdir(), 'console-'))
	const socket = path.join(dir, 's')
	const [https, http, stun] = [await freePort(), await freePort(), await freePort()]
	const url = `http://127.0.0.1:${http}`
	let child
	let log = ''
	const cli = async (...args) => (await run(bin, [...args, '--socket', socket], { timeout: 20_000 })).stdout
	const server = {
		url, cli, dir, https, stun,
		async start() {
			child = spawn(bin, [
				'serve', '--data-dir', path.join(dir, 'data'), '--unix-socket', socket, '--server-url', url, '--listen-https', `127.0.0.1:${https}`,
				'--listen-http', `127.0.0.1:${http}`, '--listen-stun', `127.0.0.1:${stun}`, ...flags,
			], { stdio: ['ignore', 'pipe', 'pipe'] })
			for (const out of [child.stdout, child.stderr]) out.on('data', d => { log = (log + d).slice(-100_000) })
			for (let i = 0; i < 400; i++) {
				if (child.exitCode !== null) throw new Error(`the server ended at start:\n${log}`)
				if (await cli('status').then(() => true, () => false)) return
				await sleep(50)
			}
			throw new Error(`the server did not answer:\n${log}`)
		},
		async stop() {
			if (!child || child.exitCode !== null) return
			const ended = new Promise(resolve => child.once('exit', resolve))
			child.kill('SIGTERM')
			const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
			await ended
			clearTimeout(timer)
		},
		async end() {
			await server.stop()
			await rm(dir, { recursive: true, force: true })
		},
		// A one-time link of the console.
		async link(...flags) {
			return JSON.parse(await cli('console', ...flags, '-o', 'json')).url
		},
		// An auth key made by the command.
		async key(...flags) {
			return JSON.parse(await cli('keys', 'create', ...flags, '-o', 'json')).key
		},
		log: () => log,
	}
	await server.start()
	return server
}

// A real client that joins and stays until its end() is called.
export async function joinMachine(server, key, hostname, { waits = false, routes = '' } = {}) {
	const child = spawn(joinnode, ['-login-server', server.url, '-authkey', key, '-hostname', hostname, '-within', waits ? '5s' : '40s', '-routes', routes], { stdio: ['pipe', 'pipe', 'pipe'] })
	let said = ''
	for (const out of [child.stdout, child.stderr]) out.on('data', d => { said += d })
	const machine = {
		up: (async () => {
			while (!/^up /m.test(said)) {
				if (child.exitCode !== null) throw new Error(`${hostname} did not join: ${said}`)
				await sleep(50)
			}
		})(),
		async end() {
			if (child.exitCode !== null) return
			const ended = new Promise(resolve => child.once('exit', resolve))
			child.stdin.end()
			const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
			await ended
			clearTimeout(timer)
		},
	}
	machine.up.catch(() => {})
	if (!waits) await machine.up
	return machine
}

// A relay on another machine, so to speak: the line that the server shows for it, with ports of its own.
export async function startRelay(line, { hostname = '127.0.0.1' } = {}) {
	const dir = await mkdtemp(path.join(tmpdir(), 'relay-'))
	const [https, http, stun] = [await freePort(), await freePort(), await freePort()]
	const child = spawn(bin, [
		...line.split(' ').slice(1), '--data-dir', dir, '--hostname', hostname, '--listen-https', `127.0.0.1:${https}`,
		'--listen-http', `127.0.0.1:${http}`, '--listen-stun', `127.0.0.1:${stun}`,
	], { stdio: ['ignore', 'pipe', 'pipe'] })
	let log = ''
	for (const out of [child.stdout, child.stderr]) out.on('data', d => { log = (log + d).slice(-100_000) })
	const ended = new Promise(resolve => child.once('exit', resolve))
	return {
		https, ended, log: () => log,
		async end() {
			child.kill('SIGTERM')
			const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
			await ended
			clearTimeout(timer)
			await rm(dir, { recursive: true, force: true })
		},
	}
}

export const launch = () => chromium.launch({
	executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true,
	args: [
		'--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
		'--disable-component-update', '--disable-sync',
	],
})

/*
 * A page in a context of its own. faults() is what it complained of: console errors and warnings, uncaught errors, violations of the
 * content security policy, requests to another origin. `expected` names those that a test provokes.
 */
export async function openPage(browser, server, { expected = [], ...options } = {}) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
	const faults = []
	const fault = text => { if (!expected.some(e => e.test(text))) faults.push(text) }
	await context.exposeFunction('__violation', text => fault(`policy violation: ${text}`))
	await context.addInitScript(() => {
		document.addEventListener('securitypolicyviolation', e => window.__violation(`${e.violatedDirective} ${e.blockedURI}`))
	})
	const watch = page => {
		page.setDefaultTimeout(15_000)
		page.on('console', m => { if (['error', 'warning'].includes(m.type())) fault(`console ${m.type()}: ${m.text()}`) })
		page.on('pageerror', e => fault(`error: ${e.stack}`))
		page.on('request', r => { if (!r.url().startsWith(`${server.url}/`) && !r.url().startsWith('blob:')) fault(`request to ${r.url()}`) })
	}
	context.on('page', watch)
	const page = await context.newPage()
	return {
		context, page, faults,
		async close() {
			await context.close()
			assert.deepEqual(faults, [])
		},
	}
}

export const signedOut = /status of 401/

// A page that is signed in.
export async function signedIn(browser, server, { flags = [], expected = [], ...options } = {}) {
	const opened = await openPage(browser, server, { expected: [signedOut, ...expected], ...options })
	await opened.page.goto(await server.link(...flags))
	await opened.page.getByRole('button', { name: 'Sign in' }).click()
	await opened.page.getByRole('heading', { name: 'Overview' }).waitFor()
	return opened
}

// Every rule of WCAG 2.2 A and AA and the best practices.
export async function checkAccessibility(page, what) {
	// As an evaluated script: the page's own policy forbids to add one.
	await page.evaluate(await axeSource())
	const found = await page.evaluate(async () => {
		const result = await window.axe.run(document, {
			runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
		})
		return result.violations.map(v => `${v.id}: ${v.nodes.map(n => `${n.target} ${n.failureSummary}`).join(' | ')}`)
	})
	assert.deepEqual(found, [], `accessibility of ${what}`)
}
let source
const axeSource = async () => (source ??= (await import('node:fs/promises')).readFile(axe, 'utf8'))

export async function checkWidth(page, what) {
	const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
	assert.ok(wide <= window, `${what} scrolls sideways: ${wide} > ${window}`)
}

export { assert, sleep }
