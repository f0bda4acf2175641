// Ten thousand machines, and a storm of events that moves nothing under the hand. The list is put in place of the server's answer.
import { after, before, describe, test } from 'node:test'
import { readdir, readFile } from 'node:fs/promises'
import { brotliCompressSync } from 'node:zlib'
import { assert, launch, signedIn, sleep, startServer } from './harness.mjs'
import * as demo from './demo.mjs'

const N = 10_000
let server, browser, opened, page
before(async () => {
	server = await startServer()
	browser = await launch()
	opened = await signedIn(browser, server)
	page = opened.page
	const body = JSON.stringify({ nodes: demo.nodes(N, Date.now()) })
	await opened.context.route('**/api/fairlead/v1/nodes', route => route.fulfill({ contentType: 'application/json', body }))
})
after(async () => {
	await browser?.close()
	await server?.end()
	assert.deepEqual(opened?.faults, [])
})

const rows = () => page.evaluate(() => [...document.querySelectorAll('tbody tr[data-id]')].map(r => r.dataset.id))
// From the keystroke to the frame after the one that draws it.
const keystroke = key => page.evaluate(key => new Promise(resolve => {
	const input = document.querySelector('#search')
	const begin = performance.now()
	input.value += key
	input.dispatchEvent(new InputEvent('input', { bubbles: true }))
	requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begin)))
}), key)

test('the first load is small', async () => {
	const dir = new URL('../dist/assets/', import.meta.url)
	let size = 0
	for (const name of await readdir(dir)) size += brotliCompressSync(await readFile(new URL(name, dir))).length
	assert.ok(size < 60_000, `${size} bytes`)
})

describe('ten thousand machines', () => {
	test('first rows within a second, few of them in the document', async () => {
		await page.goto(`${server.url}/machines`)
		await page.getByText('10,000 machines').waitFor()
		// From the last byte of the list to the first rows.
		const ms = await page.evaluate(() => {
			const list = performance.getEntriesByType('resource').find(e => e.name.endsWith('/nodes'))
			return performance.now() - list.responseEnd
		})
		assert.ok(ms < 1000, `${ms} ms`)
		const shown = await rows()
		assert.ok(shown.length > 5 && shown.length < 100, `${shown.length} rows`)
	})

	test('a keystroke is on the screen in 100 ms', async () => {
		const times = []
		for (const key of ['e', 'd', 'g', 'e', '-', 'b']) times.push(await keystroke(key))
		times.sort((a, b) => a - b)
		assert.ok(times[3] < 100, `median of ${times}`)
		await page.getByText(/of 10,000 machines/).waitFor()
		await page.locator('#search').fill('')
		await page.getByText('8,000 online').waitFor()
	})

	test('scrolling draws the rows that come', async () => {
		for (const at of [0.25, 0.5, 1]) {
			await page.evaluate(at => scrollTo(0, document.documentElement.scrollHeight * at), at)
			await page.waitForFunction(() => {
				const r = [...document.querySelectorAll('tbody tr[data-id]')].map(r => r.getBoundingClientRect())
				return r.some(r => r.top < innerHeight / 2 && r.bottom > innerHeight / 2)
			})
			assert.ok((await rows()).length < 100)
		}
		const last = await page.evaluate(() => [...document.querySelectorAll('tbody tr[data-id]')].at(-1).getAttribute('aria-rowindex'))
		assert.equal(last, String(N + 1))
		await page.evaluate(() => scrollTo(0, 0))
	})

	test('a hundred events a second move no row, no selection, no focus, no scroll', async () => {
		await page.evaluate(() => scrollTo(0, 3000))
		await sleep(200)
		const before = await rows()
		const chosen = before[8]
		await page.locator(`tr[data-id="${chosen}"] input`).check()
		await page.locator(`tr[data-id="${chosen}"] a`).focus()
		const scroll = await page.evaluate(() => scrollY)
		const events = Array.from({ length: 300 }, (_, i) => {
			const id = i % 3 === 0 ? Number(before[i % before.length]) : 1 + (i * 37) % N
			const n = demo.node(id - 1, Date.now())
			if (i % 3 === 1) n.name = `a-renamed-${i}`
			if (i % 3 === 0) n.online = !n.online
			const gone = i % 10 === 7 && id !== Number(chosen)
			return { id: `t-${i}`, type: 'node', data: JSON.stringify({ what: gone ? 'node.remove' : 'node.update', id: String(id), by: 'ann', at: '', node: gone ? null : n }) }
		})
		await page.evaluate(async events => {
			const channel = new BroadcastChannel('fairlead')
			for (const event of events) {
				channel.postMessage({ kind: 'event', event })
				await new Promise(resolve => setTimeout(resolve, 10))
			}
			channel.close()
		}, events)
		await sleep(600)
		assert.deepEqual(await rows(), before)
		assert.equal(await page.evaluate(() => scrollY), scroll)
		assert.ok(await page.locator(`tr[data-id="${chosen}"] input`).isChecked())
		assert.equal(await page.evaluate(() => document.activeElement.closest('tr').dataset.id), chosen)
		await page.getByText('1 selected').waitFor()
		const button = page.getByRole('button', { name: /changed: show in order/ })
		assert.match(await button.textContent(), /^\d+ changed/)
		await button.click()
		await button.waitFor({ state: 'detached' })
		await page.getByText('1 selected').waitFor()
	})

	test('bulk: what is not on the screen is not chosen unless it is asked for', async () => {
		await page.goto(`${server.url}/machines?q=${encodeURIComponent('tag:k3s -is:online')}`)
		await page.getByRole('checkbox', { name: 'Select the rows on the screen' }).check()
		const some = Number((await page.locator('.selection b').textContent()).replace(/\D/g, ''))
		assert.ok(some > 0 && some < 40, String(some))
		await page.getByRole('button', { name: /^Select all .* matching$/ }).click()
		const all = Number((await page.locator('.selection b').textContent()).replace(/\D/g, ''))
		assert.ok(all > some)
		await page.getByRole('button', { name: 'Delete…' }).click()
		await page.getByRole('textbox', { name: `Type their number, ${all}, to delete them` }).waitFor()
		await page.keyboard.press('Escape')
		await page.locator('#search').fill('tag:pos')
		await page.getByText(`${all.toLocaleString('en')} of them not in this list`).waitFor()
	})
})
