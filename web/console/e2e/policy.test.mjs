// The policy where it needs somebody: a stored one that cannot be used, one that waits for confirmation; all of it live.
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { assert, checkAccessibility, checkWidth, launch, signedIn, sleep, startServer } from './harness.mjs'

const POLL_MS = 20_000 // twice the pause after which the page asks
const OPEN = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
const CLOSED = '{"acls": []}'
const down = [/ERR_CONNECTION_REFUSED/, /ERR_INCOMPLETE_CHUNKED/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/]

let server, browser
before(async () => {
	server = await startServer()
	browser = await launch()
})
after(async () => {
	await browser?.close()
	await server?.end()
})

const sqlite = sql => promisify(execFile)('sqlite3', ['-batch', '-bail', path.join(server.dir, 'data', 'fairlead.db'), sql])
const inForce = async () => JSON.parse(await server.cli('policy', 'get', '-o', 'json'))
async function set(text, ...flags) {
	const file = path.join(server.dir, 'policy.hujson')
	await writeFile(file, text)
	await server.cli('policy', 'set', file, ...flags)
}
const toast = (page, text) => page.locator('.toast').filter({ hasText: text })

describe('policy', () => {
	test('a stored one that cannot be used is told of until it is mended', async () => {
		await set(OPEN)
		const overview = await signedIn(browser, server, { expected: down })
		const machines = await signedIn(browser, server, { expected: down })
		await machines.page.goto(`${server.url}/machines`)
		await machines.page.getByText('No machine yet').waitFor()
		const warning = overview.page.locator('.warning.bad')
		const banner = machines.page.locator('.banner.bad')
		assert.equal(await warning.count() + await banner.count(), 0)
		await server.stop()
		await sqlite("INSERT INTO policies SELECT tailnet_id, 2, made_unix_s, 'the future', '', 0, 0, CAST('{\"from\": 1}' AS BLOB) FROM policies")
		await server.start()
		// Both pages come back by themselves.
		for (const at of [warning, banner]) {
			await at.getByText('Version 2 of the policy, saved by the future').waitFor({ timeout: 40_000 })
			await at.getByText('Version 1 stays in force.').waitFor()
			await at.getByText('line 1, column 2').waitFor()
			for (const command of ['get --version 2', 'edit', 'rollback 1']) await at.getByText(`fairlead policy ${command}`, { exact: true }).waitFor()
		}
		for (const { page } of [overview, machines]) {
			await checkAccessibility(page, 'an unusable policy')
			await page.setViewportSize({ width: 320, height: 800 })
			await checkWidth(page, 'an unusable policy')
		}
		await machines.page.goto(`${server.url}/keys`)
		await machines.page.getByText('1 auth key').waitFor()
		await sleep(1000)
		assert.equal(await banner.count(), 0, 'keys have nothing to do with it')
		await machines.page.goto(`${server.url}/machines`)
		await banner.waitFor()
		// As it says.
		await server.cli('policy', 'rollback', '1')
		await warning.waitFor({ state: 'detached', timeout: POLL_MS })
		await banner.waitFor({ state: 'detached', timeout: POLL_MS })
		assert.equal((await inForce()).problem, null)
		await overview.close()
		await machines.close()
	})

	test('one that waits for confirmation: confirmed, taken back, and left alone', async () => {
		const { version } = await inForce()
		const { page, close } = await signedIn(browser, server)
		const waits = page.getByText(/waits for confirmation/)
		await set(CLOSED, '--confirm-within', '10m', '--comment', 'careful')
		await page.getByText(`Version ${version + 1} of the policy, set by local uid`).waitFor({ timeout: POLL_MS })
		await page.getByText(`version ${version} comes back`).waitFor()
		await checkAccessibility(page, 'a policy that waits, in the overview')
		await page.goto(`${server.url}/keys`)
		await page.getByText('"careful"').waitFor()
		await checkAccessibility(page, 'a policy that waits')
		await page.getByRole('button', { name: 'Confirm policy' }).click()
		await toast(page, `Version ${version + 1} of the policy stays`).waitFor()
		await waits.waitFor({ state: 'detached' })
		assert.equal((await inForce()).confirmBy, null)

		await set(OPEN, '--confirm-within', '10m')
		await page.goto(`${server.url}/clusters`)
		await page.getByRole('button', { name: 'Take back' }).click()
		await page.getByText(`At once, version ${version + 1} comes back.`).waitFor()
		await checkAccessibility(page, 'taking a policy back')
		await page.getByRole('button', { name: `Take back version ${version + 2}` }).click()
		await toast(page, `Version ${version + 2} of the policy is taken back`).waitFor()
		await waits.waitFor({ state: 'detached' })
		assert.equal((await inForce()).text, CLOSED)

		await set(OPEN, '--confirm-within', '5s')
		await page.goto(`${server.url}/settings`)
		await waits.waitFor()
		await toast(page, `Version ${version + 4} of the policy was not confirmed in time`).waitFor({ timeout: POLL_MS })
		await waits.waitFor({ state: 'detached' })
		assert.equal((await inForce()).text, CLOSED)
		await close()
	})

	test('a network admin confirms, an auditor looks', async () => {
		await set(OPEN, '--confirm-within', '10m')
		for (const [role, may] of [['auditor', false], ['network-admin', true]]) {
			const { page, close } = await signedIn(browser, server, { flags: ['--role', role] })
			const button = page.getByRole('button', { name: 'Confirm policy' })
			await button.waitFor()
			assert.equal(await button.isEnabled(), may)
			if (may) {
				await button.click()
				await toast(page, 'stays').waitFor()
			}
			await close()
		}
		assert.equal((await inForce()).confirmBy, null)
	})
})
