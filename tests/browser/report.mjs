// The page of `--report` in a browser: node report.mjs CHROMIUM DIR
//
// In: DIR with demo.html, one.html, none.html, hostile.html, many.html, as tests/report.rs writes them. Each is opened from the
// disk, without a network. Out: a line for each check; status 1 with what was wrong.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

const [executablePath, folder] = process.argv.slice(2);
const PHONE = { width: 390, height: 844 };
// A4 at 96 dots an inch, less the margins of the style.
const PAPER = { width: 703, height: 1020 };

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });

/** Opens a page, and fails at its end when it complained or asked for anything. */
async function open(name, work, options = {}) {
  const { hash = '', ...context } = options;
  const browsing = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...context });
  const page = await browsing.newPage();
  const wrong = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && wrong.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  const url = pathToFileURL(join(folder, name)).href;
  page.on('request', (request) => {
    if (request.url().split('#')[0] !== url && !request.url().startsWith('blob:')) wrong.push(`request: ${request.url()}`);
  });
  await page.goto(url + hash);
  await work(page);
  assert.deepEqual(wrong, [], name);
  await browsing.close();
}

async function check(name, work) {
  try {
    await work();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAILED ${name}: ${String(error.message).slice(0, 1500)}`);
    process.exitCode = 1;
  }
}

/** Waits for a view: a browser tells a page only later that its address has changed. */
const now = (page, view) => page.waitForSelector(`${view}:not([hidden])`);
const shown = async (page) => (await page.textContent('#shown')).trim();
const column = (page, key) => page.$$eval(`#table tbody tr:not(.detail) td[data-label="${key}"]`, (cells) => cells.map((cell) => cell.textContent));
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function faults(page) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.target.join(' ') + ' ' + (node.any[0]?.message ?? '')).join('; ')}`);
}

/** Texts of a drawing that lie on each other. */
const collisions = (page, drawing) => page.$$eval(drawing, (drawings) => {
  const found = [];
  for (const drawn of drawings.filter((one) => one.getClientRects().length)) {
    const boxes = [...drawn.querySelectorAll('text')].filter((text) => getComputedStyle(text).display !== 'none').map((text) => [text.textContent, text.getBoundingClientRect()]);
    boxes.forEach(([one, a], n) => boxes.slice(n + 1).forEach(([other, b]) => {
      // Two lines of one label may touch.
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3) found.push(`${one} on ${other}`);
    }));
    const frame = drawn.getBoundingClientRect();
    boxes.filter(([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1).forEach(([text]) => found.push(`${text} is cut`));
  }
  return found;
});

await check('opens with the answer, in the language that was asked for', () => open('demo.html', async (page) => {
  assert.match(await page.textContent('h1:visible'), /^11 channels of 4 products across the border/);
  assert.equal(await page.locator('.numbers:visible dt').count(), 4);
  assert.equal(await shown(page), '23 of 23 findings');
  assert.equal(await page.getAttribute('html', 'lang'), 'en');
}));

await check('sorts by every column, both ways', () => open('demo.html', async (page) => {
  const buttons = page.locator('#table th button');
  assert.equal(await buttons.count(), 11);
  for (let n = 0; n < 11; n += 1) {
    await buttons.nth(n).click();
    const cell = `td:nth-child(${n + 2})`;
    const first = await page.textContent(`#table tbody tr:first-child ${cell}`);
    await buttons.nth(n).click();
    assert.equal(await page.locator('#table th[aria-sort]').count(), 1);
    assert.equal(await page.textContent(`#table tbody tr:last-child ${cell}`), first, `column ${n}`);
  }
  await page.click('[data-sort="out"]');
  const out = await column(page, 'Out');
  assert.equal(out[0], '68.3\u00a0kB');
  assert.equal(await page.getAttribute('th:has([data-sort="out"])', 'aria-sort'), 'descending');
}));

await check('filters and searches, and says how many are shown', () => open('demo.html', async (page) => {
  assert.equal(await page.getAttribute('#shown', 'aria-live'), 'polite');
  await page.selectOption('#filter-crossing', 'observed');
  assert.equal(await shown(page), '7 of 23 findings');
  await page.selectOption('#filter-vendor', 'Fortinet');
  assert.deepEqual(new Set((await column(page, 'Asset')).map((text) => text.slice(0, 9))), new Set(['10.20.0.1']));
  await page.click('text=Clear filters');
  await page.fill('#search', 'WILDFIRE paloalto');
  assert.equal(await shown(page), '1 of 23 findings');
  await page.fill('#search', 'nothing like this');
  assert.equal(await shown(page), '0 of 23 findings');
  assert.ok(await page.isVisible('text=No finding matches.'));
  await page.fill('#search', '');
  for (const [key, value] of [['severity', 'high'], ['function', 'update'], ['country', 'US'], ['direction', 'outbound']]) {
    await page.selectOption(`#filter-${key}`, value);
    assert.notEqual(await shown(page), '0 of 23 findings', key);
    await page.selectOption(`#filter-${key}`, '');
  }
  await page.click('.crossings a.probable:visible');
  assert.equal(await shown(page), '4 of 23 findings');
}));

await check('switches language without a reload', () => open('demo.html', async (page) => {
  await page.evaluate(() => { globalThis.mark = 1; });
  await page.click('#table .open');
  await page.click('#language');
  assert.equal(await page.getAttribute('html', 'lang'), 'zh-CN');
  assert.match(await page.textContent('h1:visible'), /11 条通道出境/);
  assert.equal(await shown(page), '显示 23 / 23 条结果');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'language');
  await page.click('#table .open >> nth=0');
  assert.match(await page.textContent('.detail'), /向 209\.66\.107\.20 发送了 68,299 字节，收回 4,599 字节。/);
  const text = await page.evaluate(() => document.body.innerText);
  assert.doesNotMatch(text, /undefined|\[object|\{\w+\}|NaN/);
  await page.click('#language');
  assert.equal(await page.evaluate(() => globalThis.mark), 1);
  assert.doesNotMatch(await page.evaluate(() => document.body.innerText), /undefined|\[object|\{\w+\}|NaN/);
}));

await check('switches the theme', () => open('demo.html', async (page) => {
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.click('#theme');
  assert.equal(await paper(), light);
  await page.click('#theme');
  assert.notEqual(await paper(), light);
}));

await check('follows the system into the dark', () => open('demo.html', async (page) => {
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(20, 22, 26)');
}, { colorScheme: 'dark' }));

async function exported(page) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#export')]);
  assert.equal(download.suggestedFilename(), 'findings.csv');
  return readFile(await download.path(), 'utf8');
}

await check('exports what is shown as CSV', () => open('demo.html', async (page) => {
  await page.selectOption('#filter-crossing', 'observed');
  const lines = (await exported(page)).trimEnd().split('\r\n');
  assert.equal(lines.length, 8);
  assert.ok(lines[0].startsWith('\ufeff"id","severity","crossing"'));
  assert.ok(lines.slice(1).every((line) => line.includes('"observed"')));
  assert.ok(lines.some((line) => line.includes('"68299"') && line.includes('"209.66.107.20"')));
}));

await check('hostile text stays text', () => open('hostile.html', async (page) => {
  assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
  assert.equal(await page.locator('img, iframe, object, embed, link, base, form').count(), 0);
  for (const line of await page.$$('#table .open')) await line.click();
  const csv = await exported(page);
  const cells = csv.match(/"(?:[^"]|"")*"/g).map((cell) => cell.slice(1, -1));
  assert.deepEqual(cells.filter((cell) => /^[=+\-@\t\r]/.test(cell)), []);
  assert.ok(cells.some((cell) => cell.startsWith("'=cmd|")), 'a formula became text');
  await page.click('#table td a');
  await now(page, '#asset');
  assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
  await page.click('#language');
  assert.equal(await overflow(page), 0);
}));

await check('an asset opens by keyboard, with its evidence and its switches', () => open('demo.html', async (page) => {
  await page.locator('.cards a:visible', { hasText: 'vCenter' }).focus();
  await page.keyboard.press('Enter');
  await now(page, '#asset');
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
  assert.match(page.url(), /#asset-10\.20\.0\.4-vmware$/);
  const text = await page.innerText('#asset');
  for (const wanted of ['C=US,CN=vc01.office.example', 'vmware.toml:', 'To stop this channel', 'Customer Experience Improvement Program', '334']) assert.ok(text.includes(wanted), wanted);
  assert.ok(!(await page.isVisible('#report')));
  const outside = await page.$$eval('a[href^="http"]', (links) => links.map((link) => link.rel));
  assert.ok(outside.every((rel) => rel === 'noreferrer noopener'));
  await page.click('#language');
  assert.match(await page.innerText('#asset'), /关闭此通道/);
  await page.goBack();
  await now(page, '#report');
}));

await check('a link to an asset opens it', () => open('demo.html', async (page) => {
  assert.equal(await page.textContent('#asset h1'), 'Palo Alto Networks appliance (PAN-OS)');
}, { hash: '#asset-10.20.0.2-palo-alto-networks' }));

await check('a detail opens by keyboard', () => open('demo.html', async (page) => {
  await page.locator('#table .open').first().focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#table .detail').count(), 1);
  assert.match(await page.innerText('#table .detail'), /68,299 bytes went to 209\.66\.107\.20/);
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('#table .detail').count(), 0);
}));

await check('without a script there is the answer, the plots and the first findings', () => open('demo.html', async (page) => {
  assert.match(await page.textContent('h1:visible'), /across the border/);
  assert.equal(await page.locator('.numbers:visible dd:not(.note)').count(), 4);
  for (const plot of ['.sankey', '.world', '.strip']) assert.ok(await page.locator(plot).locator('visible=true').count() > 0, plot);
  assert.equal(await page.locator('.first:visible tbody tr').count(), 23);
}, { javaScriptEnabled: false }));

await check('of ten thousand findings fifty are drawn at a time', () => open('many.html', async (page) => {
  assert.equal(await shown(page), '10,000 of 10,000 findings');
  const rows = () => page.locator('#table tbody tr').count();
  assert.equal(await rows(), 50);
  await page.click('[data-sort="destination"]');
  assert.equal(await rows(), 50);
  await page.fill('#search', 'host-777.');
  assert.equal(await shown(page), '1 of 10,000 findings');
  await page.fill('#search', '');
  await page.selectOption('#filter-country', 'US');
  assert.equal(await rows(), 50);
  await page.click('text=Clear filters');
  await page.click('.pager button >> nth=1');
  assert.match(await page.innerText('.pager'), /Page 2 of 200/);
  assert.deepEqual(await collisions(page, '.sankey'), []);
  const lines = (await exported(page)).trimEnd().split('\r\n');
  assert.equal(lines.length, 10001);
}));

for (const name of ['demo.html', 'one.html', 'none.html', 'hostile.html']) {
  for (const colorScheme of ['light', 'dark']) {
    await check(`no serious fault of accessibility: ${name}, ${colorScheme}, both languages`, () => open(name, async (page) => {
      for (const language of ['en', 'zh']) {
        assert.deepEqual(await faults(page), [], language);
        const asset = page.locator('.cards a:visible').first();
        if (await asset.count()) {
          await asset.click();
          await now(page, '#asset');
          assert.deepEqual(await faults(page), [], `asset, ${language}`);
          await page.click('.back');
          await now(page, '#report');
        }
        await page.click('#language');
      }
    }, { colorScheme }));
  }
}

for (const name of ['demo.html', 'one.html', 'none.html', 'hostile.html', 'many.html']) {
  await check(`nothing is wider than a phone or a desk: ${name}`, () => open(name, async (page) => {
    for (const viewport of [PHONE, { width: 768, height: 1024 }, { width: 1280, height: 900 }]) {
      await page.setViewportSize(viewport);
      for (let n = 0; n < 2; n += 1) {
        assert.equal(await overflow(page), 0, `${viewport.width}`);
        if (viewport === PHONE) assert.deepEqual(await page.$$eval('.scroll', (boxes) => boxes.filter((box) => box.scrollWidth > box.clientWidth).length), 0, 'cut');
        assert.deepEqual(await collisions(page, '.sankey, .world'), [], `${viewport.width}`);
        await page.click('#language');
      }
    }
  }));
  await check(`nothing is cut in print: ${name}`, () => open(name, async (page) => {
    await page.setViewportSize(PAPER);
    await page.emulateMedia({ media: 'print' });
    const cut = await page.evaluate((width) => [...document.querySelectorAll('main *')]
      .filter((one) => one.checkVisibility() && getComputedStyle(one).position !== 'absolute' && one.getBoundingClientRect().right > width + 1)
      .slice(0, 5).map((one) => `${one.tagName}.${one.className.baseVal ?? one.className}`), PAPER.width);
    assert.deepEqual(cut, []);
    assert.ok(!(await page.isVisible('.bar')));
    assert.ok((await page.pdf({ preferCSSPageSize: true })).length > 10000);
  }, { colorScheme: 'dark' }));
}

await browser.close();
