// Everybody can use every page: axe on each page, dialog and state in both themes; three widths; the keyboard alone.
import { after, before, describe, test } from 'node:test'
import { assert, checkAccessibility, checkWidth, launch, openPage, signedIn, signedOut, startServer } from './harness.mjs'
import * as demo from './demo.mjs'

let server, browser
before(async () => {
	server = await startServer()
	browser = await launch()
})
after(async () => {
	await browser?.close()
	await server?.end()
})

async function withDemo(options = {}) {
	const opened = await signedIn(browser, server, options)
	const now = Date.now()
	const nodes = demo.nodes(60, now)
	const answer = body => route => route.fulfill({ contentType: 'application/json', body: JSON.stringify(body) })
	await opened.context.route('**/api/fairlead/v1/nodes', answer({ nodes }))
	await opened.context.route('**/api/fairlead/v1/logins', answer({ logins: demo.logins(now) }))
	await opened.context.route('**/api/fairlead/v1/settings', answer({ devicesNeedApproval: true, keyDays: 90, keyDaysInEffect: 90, keyDaysConfigured: 180 }))
	await opened.context.route('**/api/fairlead/v1/audit**', answer({ records: demo.audit(now), next: null }))
	await opened.context.route('**/api/fairlead/v1/keys', route => (route.request().method() === 'GET' ? answer({ keys: demo.keys(now) })(route) : route.continue()))
	return opened
}

const widths = [320, 360, 820, 1440]
const views = [
	{ name: 'overview', path: '/', ready: 'Needs attention' },
	{ name: 'machines', path: '/machines', ready: '60 machines' },
	{ name: 'no result', path: '/machines?q=tag%3Anone', ready: 'No machine matches' },
	{ name: 'filters', path: '/machines?q=-tag%3Acam%20is%3Aonline', ready: 'Clear filters' },
	{ name: 'machine', path: '/machines/12', ready: 'It waits for approval' },
	{ name: 'no machine', path: '/machines/9999', ready: 'There is no machine' },
	{ name: 'keys', path: '/keys', ready: '6 auth keys' },
	{ name: 'settings', path: '/settings', ready: 'Running for' },
	{ name: 'no page', path: '/keys/1/2', ready: 'There is nothing at' },
]
const dialogs = [
	{ name: 'decide a login', path: '/machines', open: async page => {
		await page.getByRole('button', { name: 'Approve… edge-lej-9' }).click()
		await page.getByRole('checkbox', { name: 'Counts as approved' }).waitFor()
	} },
	{ name: 'reject a login', path: '/machines', open: page => page.getByRole('button', { name: 'Reject… pos-dus-3' }).click() },
	{ name: 'a login that is over', path: '/machines?login=none', open: page => page.getByRole('heading', { name: 'No device waits here' }).waitFor() },
	{ name: 'create key', path: '/keys', open: page => page.getByRole('button', { name: 'Create key' }).click() },
	{
		name: 'key created', path: '/keys', open: async page => {
			await page.getByRole('button', { name: 'Create key' }).click()
			await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
			await page.getByRole('heading', { name: 'Key created' }).waitFor()
		},
	},
	{ name: 'menu', path: '/machines/12', open: page => page.getByRole('button', { name: /^More actions/ }).click() },
	{ name: 'rename', path: '/machines/12', open: page => page.getByRole('button', { name: 'Rename' }).click() },
	{ name: 'tags', path: '/machines/12', open: async page => {
		await page.getByRole('button', { name: 'Tags' }).click()
		await page.getByRole('combobox', { name: 'Tags' }).pressSequentially('e')
		await page.locator('.listbox [role=option]').first().waitFor()
	} },
	{ name: 'delete', path: '/machines/12', open: async page => {
		await page.getByRole('button', { name: /^More actions/ }).click()
		await page.getByRole('menuitem', { name: 'Delete' }).click()
		await page.getByRole('button', { name: /^Delete/ }).click()
		await page.getByText(/exactly/).waitFor()
	} },
	{ name: 'suggestions', path: '/machines', open: async page => {
		await page.getByText('60 machines').waitFor()
		await page.keyboard.press('/')
		await page.keyboard.type('tag:')
		await page.locator('.listbox [role=option]').first().waitFor()
	} },
	{ name: 'selection', path: '/machines', open: async page => {
		await page.getByRole('checkbox', { name: /^Select / }).nth(1).check()
		await page.getByText('1 selected').waitFor()
	} },
]

for (const colorScheme of ['light', 'dark']) {
	describe(`${colorScheme} theme`, () => {
		let opened, page
		before(async () => {
			opened = await withDemo({ colorScheme })
			page = opened.page
		})
		after(() => opened.close())
		for (const view of views) {
			test(`${view.name}: axe at two widths`, async () => {
				for (const width of [360, 1440]) {
					await page.setViewportSize({ width, height: 800 })
					await page.goto(server.url + view.path)
					await page.getByText(view.ready).first().waitFor()
					await checkAccessibility(page, `${view.name} at ${width}`)
				}
			})
		}
		for (const dialog of dialogs) {
			test(`${dialog.name}: axe`, async () => {
				await page.setViewportSize({ width: 1280, height: 800 })
				await page.goto(server.url + dialog.path)
				await page.getByRole('heading', { level: 1 }).waitFor()
				await dialog.open(page)
				await checkAccessibility(page, dialog.name)
			})
		}
	})
}

test('signing in and the empty list: axe, both themes', async () => {
	for (const colorScheme of ['light', 'dark']) {
		const a = await openPage(browser, server, { colorScheme, expected: [signedOut] })
		await a.page.goto(server.url)
		await a.page.getByLabel('One-time link').waitFor()
		await checkAccessibility(a.page, 'sign-in')
		await a.close()
		const b = await signedIn(browser, server, { colorScheme })
		await b.page.goto(`${server.url}/machines`)
		await b.page.getByRole('heading', { name: 'No machine yet' }).waitFor()
		await checkAccessibility(b.page, 'the empty list')
		await b.close()
	}
})

test('no page and no dialog scrolls sideways, from 320 px on', async () => {
	const opened = await withDemo()
	const { page } = opened
	for (const width of widths) {
		await page.setViewportSize({ width, height: 720 })
		for (const view of views) {
			await page.goto(server.url + view.path)
			await page.getByText(view.ready).first().waitFor()
			await checkWidth(page, `${view.name} at ${width}`)
		}
		for (const dialog of dialogs) {
			// On a phone the search field of a page without a keyboard is tapped.
			await page.goto(server.url + dialog.path)
			await page.getByRole('heading', { level: 1 }).waitFor()
			await dialog.open(page)
			await checkWidth(page, `${dialog.name} at ${width}`)
		}
	}
	await opened.close()
})

test('touch targets are at least 44 px', async () => {
	const opened = await withDemo({ hasTouch: true, isMobile: true, viewport: { width: 360, height: 740 } })
	const { page } = opened
	for (const view of views) {
		await page.goto(server.url + view.path)
		await page.getByText(view.ready).first().waitFor()
		const small = await page.evaluate(() => [...document.querySelectorAll('button, select, input[type=text], nav a, a.button')].filter(e => {
			const r = e.getBoundingClientRect()
			return r.width && r.height && r.top >= 0 && (r.height < 43.5 || r.width < 28)
		}).map(e => `${e.outerHTML.slice(0, 80)} ${e.getBoundingClientRect().width}x${e.getBoundingClientRect().height}`))
		assert.deepEqual(small, [], view.name)
	}
	await opened.close()
})

describe('the keyboard alone', () => {
	let opened, page
	before(async () => {
		opened = await withDemo()
		page = opened.page
	})
	after(() => opened.close())
	const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent)

	test('the first stop skips the navigation; navigation moves the focus to the heading', async () => {
		await page.goto(`${server.url}/machines`)
		await page.getByText('60 machines').waitFor()
		await page.keyboard.press('Tab')
		assert.equal(await focused(), 'Skip to content')
		await page.keyboard.press('Enter')
		assert.equal(await focused(), 'Machines')
		await page.getByRole('link', { name: 'Keys' }).focus()
		await page.keyboard.press('Enter')
		await page.getByText('6 auth keys').waitFor()
		assert.equal(await focused(), 'Keys')
		assert.equal(await page.title(), 'Keys · Fairlead')
		await page.goBack()
		await page.getByText('60 machines').waitFor()
		assert.equal(await focused(), 'Machines')
	})

	test('/ and Ctrl K go to the search; suggestions by arrows; the filter is in the address', async () => {
		await page.goto(`${server.url}/machines`)
		await page.getByText('60 machines').waitFor()
		await page.keyboard.press('/')
		await page.keyboard.type('ta')
		await page.keyboard.press('ArrowDown')
		await page.keyboard.press('Enter')
		await page.keyboard.type('ca')
		await page.keyboard.press('ArrowDown')
		await page.keyboard.press('Enter')
		assert.equal(await page.locator('#search').inputValue(), 'tag:cam ')
		await page.waitForURL(/q=tag%3Acam/)
		await page.reload()
		assert.equal(await page.locator('#search').inputValue(), 'tag:cam ')
		await page.goto(`${server.url}/`)
		await page.getByText('Needs attention').waitFor()
		await page.keyboard.press('Control+k')
		await page.waitForFunction(() => document.activeElement.id === 'search')
	})

	test('a menu: arrows, letters, Escape back to its button', async () => {
		await page.goto(`${server.url}/machines`)
		const button = page.getByRole('button', { name: 'Actions for cam-dus-0' })
		await button.focus()
		await page.keyboard.press('ArrowDown')
		assert.equal(await focused(), 'Rename…')
		await page.keyboard.press('End')
		assert.equal(await focused(), 'Delete…')
		await page.keyboard.press('e')
		assert.equal(await focused(), 'Edit tags…')
		await page.keyboard.press('Escape')
		assert.equal(await focused(), 'Actions for cam-dus-0')
		assert.equal(await button.getAttribute('aria-expanded'), 'false')
		await page.keyboard.press('Enter')
		await page.keyboard.press('Enter')
		await page.getByRole('heading', { name: 'Rename cam-dus-0' }).waitFor()
		assert.equal(await page.evaluate(() => document.activeElement.value), 'cam-dus-0')
		await page.keyboard.press('Escape')
		assert.equal(await focused(), 'Actions for cam-dus-0')
	})

	test('sorting is said and in the address; Shift selects a range', async () => {
		await page.goto(`${server.url}/machines`)
		await page.getByRole('button', { name: 'Address', exact: true }).focus()
		await page.keyboard.press('Enter')
		await page.keyboard.press('Enter')
		assert.equal(await page.getByRole('columnheader', { name: 'Address' }).getAttribute('aria-sort'), 'descending')
		await page.waitForURL(/sort=-address/)
		assert.equal(await page.locator('tbody tr[data-id]').first().locator('code').textContent(), '100.64.0.60')
		const boxes = page.locator('tbody input')
		await boxes.nth(1).click()
		await boxes.nth(4).click({ modifiers: ['Shift'] })
		await page.getByText('4 selected').waitFor()
	})

	test('Tab stays in a dialog', async () => {
		await page.goto(`${server.url}/keys`)
		await page.getByRole('button', { name: 'Create key' }).focus()
		await page.keyboard.press('Enter')
		assert.equal(await page.evaluate(() => document.activeElement.closest('.field')?.querySelector('label').textContent), 'Description')
		for (let i = 0; i < 25; i++) {
			await page.keyboard.press('Tab')
			assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest('dialog')))
		}
		await page.keyboard.press('Escape')
		assert.equal(await focused(), 'Create key')
	})
})

test('forced colours and text of twice the size: nothing is cut off', async () => {
	const opened = await withDemo({ forcedColors: 'active' })
	const { page } = opened
	await page.setViewportSize({ width: 1280, height: 800 })
	for (const view of views) {
		await page.goto(server.url + view.path)
		await page.getByText(view.ready).first().waitFor()
		await page.evaluate(() => { document.documentElement.style.fontSize = '200%' })
		await checkWidth(page, `${view.name} with large text`)
	}
	await opened.close()
})

test('the chosen theme stays', async () => {
	const opened = await withDemo({ colorScheme: 'light' })
	const { page } = opened
	await page.getByRole('button', { name: /^Account/ }).click()
	await page.getByRole('menuitem', { name: 'Dark theme' }).click()
	const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
	assert.equal(await ground(), 'rgb(17, 22, 28)')
	await page.reload()
	await page.getByRole('heading', { name: 'Overview' }).waitFor()
	assert.equal(await ground(), 'rgb(17, 22, 28)')
	await opened.close()
})
