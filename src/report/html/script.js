
'use strict';
// The findings table, the pages of assets, language and theme. Text from the data is only ever put down as text.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const root = document.documentElement;
  const at = (id) => document.getElementById(id);
  const PAGE_ROWS = 50;
  const SAME_CSV = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
  const CROSSINGS = ['observed', 'probable', 'not-determinable', 'home'];
  const SEVERITIES = ['high', 'medium', 'low', 'info', 'exempt'];
  let lang = root.dataset.lang === 'zh' ? 1 : 0;

  // Words.
  const put = (text, slots) => text.replace(/\{(\w+)\}/g, (all, name) => (name in slots ? slots[name] : all));
  const word = (key, slots) => put((data.words[key] || [key, key])[lang], slots || {});
  const wordOf = (prefix, value) => (data.words[prefix + value] ? word(prefix + value) : value);
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');
  const bytes = (n) => {
    if (n < 1000) return n + (lang ? '\u00a0字节' : '\u00a0B');
    let unit = 'B';
    for (const next of ['kB', 'MB', 'GB', 'TB', 'PB']) {
      if (n < 999.95) break;
      n /= 1000;
      unit = next;
    }
    return n.toFixed(1) + '\u00a0' + unit;
  };
  const count = (n, noun) => word('count.' + noun + (n === 1 ? '.one' : '.many'), { n: grouped(n) });
  const country = (code) => (data.countries[code === null ? '??' : code] || [code, code])[lang];
  const moment = (second) => new Date((data.start + second) * 1000).toISOString().slice(0, 19).replace('T', ' ');
  const month = (text) => {
    const [year, number] = text.split('-');
    const names = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
    return lang ? year + ' 年 ' + Number(number) + ' 月' : (names[number - 1] || number) + ' ' + year;
  };

  // Elements.
  const el = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? '' : value);
    }
    made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ''));
    return made;
  };
  const wire = (text) => el('bdi', {}, text);
  // A name may be broken behind its dots and dashes.
  const wireName = (text) => el('bdi', {}, text.split(/(?<=[.\-:])/).flatMap((part, n) => (n ? [el('wbr'), part] : [part])));
  const english = (text) => el('span', { lang: lang ? 'en' : null }, wire(text));
  const chip = (name) => el('span', { class: 'chip ' + name }, word('crossing.' + name));

  // Findings, by name; the order is that of data.rs.
  const host = (cells) => ({
    ip: cells[0], mac: cells[1], vendor: cells[2], product: cells[3], model: cells[4], version: cells[5], confidence: cells[6],
    shared: cells[7], evidence: cells[8], totals: cells[9], countries: cells[10], site: cells[11], slug: cells[12],
  });
  const channel = (cells) => ({
    id: cells[0], vendor: cells[1], product: cells[2], function: cells[3], data: cells[4], dataBasis: cells[5], basis: cells[6],
    source: cells[7].map((n) => data.texts[n]), off: cells[8], matched: cells[9].map((n) => data.texts[n]), confidence: cells[10],
  });
  const hosts = data.hosts.map(host);
  const channels = data.channels.map(channel);
  const kinds = data.kinds.map(([place, basis, sure, operator, crossing, severity, attempt, inbound, loss, more, fresh]) => ({
    country: place, basis, sure, operator: operator && { number: operator[0], name: operator[1] }, crossing: CROSSINGS[crossing], severity,
    attempt: attempt === 1, inbound: inbound === 1, loss: loss || null, more, fresh: fresh === 1,
  }));
  const findings = data.findings.map(([id, h, c, label, parent, ip, kind, out, back, flows, first, length, months, why], index) => ({
    index, id, host: hosts[h], channel: channels[c], domain: label === 0 ? null : label + data.texts[parent], ip: typeof ip === 'string' ? [ip] : ip,
    ...kinds[kind], out, back, flows, first, last: first + length, months, why: data.whys[why],
  }));
  const channelName = (c) => (c.id === 'unexplained' || !c.product ? word('function.unexplained') : c.product);
  const directionOf = (f) => (f.inbound ? 'inbound' : 'outbound');
  const name = (f) => f.domain || f.ip[0] || '';

  // Sentences: a pattern with its slots, or as it came.
  const byteWords = (n) => grouped(n) + (n === 1 ? ' byte' : ' bytes');
  const phrase = (slot) => {
    if (!lang) return slot;
    for (const [from, to] of data.phrases) {
      const [before, after] = from.split('{}');
      if (after === undefined ? slot === from : slot.length > from.length - 2 && slot.startsWith(before) && slot.endsWith(after)) {
        return after === undefined ? to : to.replace('{}', () => slot.slice(before.length, slot.length - after.length));
      }
    }
    return slot;
  };
  const sentence = (f, number) => {
    const [pattern, ...slots] = data.shapes[number];
    if (typeof pattern === 'string') return { text: pattern, english: true };
    const own = [byteWords(f.out), byteWords(f.back), f.ip[0], f.domain];
    const values = slots.map((slot) => phrase(typeof slot === 'number' ? own[slot] : slot));
    let next = 0;
    const text = data.patterns[pattern][lang].replace(/\{(\d?)\}/g, (all, n) => values[n === '' ? next++ : (next++, Number(n))]);
    return { text };
  };
  const reasons = (f) => f.why.map((number) => sentence(f, number));

  // The table.
  const state = { sort: null, down: false, page: 0, search: '', filters: {} };
  const COLUMNS = [
    { key: 'severity', value: (f) => SEVERITIES.indexOf(f.severity) },
    { key: 'crossing', value: (f) => CROSSINGS.indexOf(f.crossing) },
    { key: 'asset', value: (f) => f.host.ip.split('.').map((n) => n.padStart(3, '0')).join('.') + f.host.product },
    { key: 'channel', value: (f) => channelName(f.channel) },
    { key: 'destination', value: (f) => country(f.country) + ' ' + name(f) },
    { key: 'direction', value: directionOf },
    { key: 'out', value: (f) => f.out, number: true },
    { key: 'in', value: (f) => f.back, number: true },
    { key: 'flows', value: (f) => f.flows, number: true },
    { key: 'first', value: (f) => f.first },
    { key: 'last', value: (f) => f.last },
  ];
  const FILTERS = [
    { key: 'crossing', of: (f) => f.crossing, text: (v) => word('crossing.' + v), order: CROSSINGS },
    { key: 'severity', of: (f) => f.severity, text: (v) => wordOf('severity.', v), order: SEVERITIES },
    { key: 'vendor', of: (f) => f.host.vendor, text: (v) => v },
    { key: 'function', of: (f) => f.channel.function, text: (v) => wordOf('function.', v) },
    { key: 'country', of: (f) => (f.country === null ? '??' : f.country), text: (v) => country(v) },
    { key: 'direction', of: directionOf, text: (v) => word('direction.' + v), order: ['outbound', 'inbound'] },
  ];
  let haystacks = null;
  const haystack = (f) =>
    [f.id, f.host.ip, f.host.mac, f.host.vendor, f.host.product, f.channel.id, f.channel.product, f.domain, ...f.ip, f.country,
      ...(data.countries[f.country === null ? '??' : f.country] || []), ...(data.words['function.' + f.channel.function] || []),
      f.operator && f.operator.name].filter(Boolean).join('\n').toLowerCase();
  const shown = () => {
    const needles = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    if (needles.length && !haystacks) haystacks = findings.map(haystack);
    const wanted = FILTERS.filter((filter) => state.filters[filter.key]);
    const rows = findings.filter((f) => wanted.every((filter) => filter.of(f) === state.filters[filter.key])
      && needles.every((needle) => haystacks[f.index].includes(needle)));
    const column = COLUMNS.find((c) => c.key === state.sort);
    if (!column) return rows;
    const sign = state.down ? -1 : 1;
    const keyed = rows.map((f) => [column.value(f), f]);
    const compare = new Intl.Collator(lang ? 'zh' : 'en').compare;
    keyed.sort(([a, f], [b, g]) => sign * (typeof a === 'string' ? compare(a, b) : a - b) || f.index - g.index);
    return keyed.map(([, f]) => f);
  };

  let parts = null;
  const build = () => {
    const box = at('table');
    box.replaceChildren();
    if (!findings.length) return;
    const search = el('input', { type: 'search', id: 'search', placeholder: word('ui.search-hint'), autocomplete: 'off', spellcheck: 'false',
      oninput: () => { state.search = search.value; state.page = 0; fillTable(); } });
    search.value = state.search;
    const selects = FILTERS.map((filter) => {
      const values = [...new Set(findings.map(filter.of))];
      const compare = new Intl.Collator(lang ? 'zh' : 'en').compare;
      values.sort((a, b) => (filter.order ? filter.order.indexOf(a) - filter.order.indexOf(b) : compare(filter.text(a), filter.text(b))));
      const select = el('select', { id: 'filter-' + filter.key,
        onchange: () => { state.filters[filter.key] = select.value; state.page = 0; fillTable(); } },
        el('option', { value: '' }, word('ui.all')), values.map((value) => el('option', { value }, filter.text(value))));
      select.value = state.filters[filter.key] || '';
      return el('label', {}, word('ui.' + filter.key), select);
    });
    const heads = COLUMNS.map((column) => el('th', { scope: 'col', role: 'columnheader', class: 'c-' + column.key + (column.number ? ' num' : '') },
      el('button', { type: 'button', 'data-sort': column.key, onclick: () => {
        state.down = state.sort === column.key ? !state.down : Boolean(column.number);
        state.sort = column.key;
        state.page = 0;
        fillTable();
      } }, word('ui.' + column.key))));
    const step = (by) => () => {
      state.page += by;
      fillTable();
      at('findings').scrollIntoView();
    };
    parts = {
      heads,
      status: el('p', { role: 'status', 'aria-live': 'polite', id: 'shown' }),
      clear: el('button', { type: 'button', onclick: () => { state.filters = {}; state.search = ''; state.page = 0; build(); at('search').focus(); } }, word('ui.clear')),
      body: el('tbody', { role: 'rowgroup' }),
      empty: el('p', { class: 'empty' }, word('ui.none')),
      previous: el('button', { type: 'button', onclick: step(-1) }, word('ui.previous')),
      next: el('button', { type: 'button', onclick: step(1) }, word('ui.next')),
      where: el('p', { 'aria-live': 'polite' }),
    };
    parts.pager = el('nav', { class: 'pager', 'aria-label': word('ui.pages') }, parts.previous, parts.where, parts.next);
    parts.table = el('table', { class: 'stack found', role: 'table', 'aria-label': word('ui.findings') },
      el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, el('td', { role: 'columnheader', class: 'opener c-opener' }, el('span', { class: 'hide' }, word('ui.details'))), heads)), parts.body);
    box.append(
      el('div', { class: 'filters', role: 'search', 'aria-label': word('ui.filters') }, el('label', { class: 'wide' }, word('ui.search'), search), selects),
      el('div', { class: 'status' }, parts.status, el('div', {}, parts.clear, el('button', { type: 'button', id: 'export', onclick: exportCsv }, word('ui.export')))),
      el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': word('ui.findings') }, parts.table), parts.empty, parts.pager);
    fillTable();
  };

  const fillTable = () => {
    const rows = shown();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    parts.heads.forEach((head, n) => {
      if (COLUMNS[n].key === state.sort) head.setAttribute('aria-sort', state.down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    parts.status.textContent = word('ui.shown', { n: grouped(rows.length), all: grouped(findings.length) });
    parts.clear.disabled = !state.search && !Object.values(state.filters).some(Boolean);
    parts.body.replaceChildren(...rows.slice(state.page * PAGE_ROWS, (state.page + 1) * PAGE_ROWS).map(row));
    parts.empty.hidden = rows.length > 0;
    parts.table.hidden = rows.length === 0;
    parts.pager.hidden = pages === 1;
    parts.previous.disabled = state.page === 0;
    parts.next.disabled = state.page === pages - 1;
    parts.where.textContent = word('ui.page', { n: grouped(state.page + 1), all: grouped(pages) });
  };

  const cell = (label, attributes, ...children) => el('td', { role: 'cell', 'data-label': word('ui.' + label), ...attributes }, ...children);
  const second = (...children) => el('span', { class: 'second' }, ...children);
  const time = (secondOf) => {
    const [day, clock] = moment(secondOf).split(' ');
    return [day, second(clock)];
  };
  const row = (f) => {
    const open = el('button', { type: 'button', class: 'open', 'aria-expanded': 'false',
      onclick: () => {
        const is = open.getAttribute('aria-expanded') === 'true';
        open.setAttribute('aria-expanded', String(!is));
        if (is) line.nextSibling.remove();
        else line.after(el('tr', { class: 'detail', role: 'row' }, el('td', { role: 'cell', colspan: COLUMNS.length + 1 }, detail(f))));
      } }, el('span', { class: 'hide word' }, word('ui.details')), el('span', { class: 'hide' }, ': ' + channelName(f.channel) + ', ' + f.host.ip));
    const line = el('tr', { role: 'row' },
      el('td', { role: 'cell', class: 'opener' }, open),
      cell('severity', {}, el('span', { class: 'sev ' + f.severity }, wordOf('severity.', f.severity))),
      cell('crossing', {}, el('span', {}, chip(f.crossing), f.fresh ? [' ', el('span', { class: 'new' }, word('ui.new'))] : '')),
      cell('asset', {}, el('span', {}, el('a', { href: '#asset-' + f.host.slug }, f.host.ip), second(wire(f.host.product)))),
      cell('channel', {}, el('span', {}, wire(channelName(f.channel)), second(wordOf('function.', f.channel.function)))),
      cell('destination', {}, el('span', {}, country(f.country), second(wireName(name(f))))),
      cell('direction', {}, word(f.inbound ? 'ui.dir-in' : 'ui.dir-out')),
      cell('out', { class: 'num' }, f.attempt ? el('span', { class: 'tried' }, word('attempt')) : bytes(f.out)),
      cell('in', { class: 'num' }, bytes(f.back)),
      cell('flows', { class: 'num' }, grouped(f.flows)),
      cell('first', { class: 'time' }, el('span', {}, time(f.first))),
      cell('last', { class: 'time' }, el('span', {}, time(f.last))));
    return line;
  };

  // One finding in full.
  const pairs = (entries) => el('dl', { class: 'pairs' }, entries.filter(([, value]) => value !== null && value !== '' && (!Array.isArray(value) || value.length))
    .map(([key, value]) => [el('dt', {}, word('ui.' + key)), el('dd', {}, value)]));
  const joined = (items) => items.flatMap((item, n) => (n ? [word('list'), item] : [item]));
  const monthly = (f) => {
    const cells = [f.months].flat();
    const rows = [];
    let [out, back] = [f.out, f.back];
    for (let n = 0; n < cells.length; n += 3) {
      if (n + 1 < cells.length) [out, back] = [cells[n + 1], cells[n + 2]];
      else rows.forEach((row) => { out -= row[1]; back -= row[2]; });
      rows.push([data.months[cells[n]], out, back]);
      [out, back] = [f.out, f.back];
    }
    return rows;
  };
  const whyList = (f) => el('ul', {}, reasons(f).map(({ text, english: en }) => el('li', { lang: lang && en ? 'en' : null }, wire(text))));
  const sourceList = (sources) => el('ul', {}, sources.map((source) => el('li', {}, english(source.startsWith('https://') ? el('a', { href: source, rel: 'noreferrer noopener' }, source) : source))));
  const lossWords = (loss) => loss.map((n, at) => (n ? grouped(n) + ' ' + word('ui.loss-' + at) : '')).filter(Boolean).join(word('list'));
  const aboutFinding = (f) => pairs([
    ['data', f.channel.data.length ? f.channel.data.map((d) => wordOf('data.', d)).join(word('list')) : word('data.none')],
    ['data-basis', f.channel.dataBasis && wordOf('basis.', f.channel.dataBasis)],
    ['addresses', joined(f.ip.map(wire)).concat(f.more ? [word('list'), word('ui.more', { n: f.more })] : [])],
    ['operator', f.operator && wire('AS' + f.operator.number + ' ' + f.operator.name)],
    ['known', wordOf('basis.', f.basis) + word('comma') + word('ui.sure', { n: f.sure })],
    ['basis', f.channel.basis && wordOf('basis.', f.channel.basis)],
    ['matched', f.channel.matched.length ? [el('code', {}, f.channel.id), ' ', el('code', {}, f.channel.matched.join(' '))] : null],
    ['months', monthly(f).map(([when, out, back]) => el('div', {}, month(when) + (lang ? '：' : ': ') + word('ui.out') + '\u00a0' + bytes(out) + word('comma') + word('ui.in') + '\u00a0' + bytes(back)))],
    ['loss', f.loss && lossWords(f.loss)],
    ['id', el('code', {}, f.id)],
  ]);
  const off = (c) => (c.id === 'unexplained' ? null : el('div', { class: 'off' },
    c.off ? el('p', {}, el('b', {}, word('ui.off') + (lang ? '：' : ': ')), english(c.off)) : el('p', { class: 'none' }, word('ui.no-off'))));
  const sources = (c) => (c.source.length ? [el('h4', {}, word('ui.sources')), sourceList(c.source)] : []);
  const full = (f) => el('div', { class: 'split' }, el('div', {}, el('h4', {}, word('ui.why')), whyList(f), off(f.channel), sources(f.channel)), aboutFinding(f));
  const detail = (f) => [
    full(f),
    el('p', {}, el('a', { href: '#asset-' + f.host.slug }, word('ui.open') + ' ' + f.host.ip)),
  ];

  // The page of an asset.
  const showAsset = (slug) => {
    const h = hosts.find((one) => one.slug === slug);
    const box = at('asset');
    const back = el('a', { href: '#assets', class: 'back' }, '← ' + word('ui.back'));
    if (!h) {
      box.replaceChildren(back, el('h1', { tabindex: '-1' }, word('ui.no-asset')));
      return;
    }
    const own = findings.filter((f) => f.host.ip === h.ip && f.host.vendor === h.vendor);
    const evidence = el('table', { class: 'stack evidence' },
      el('thead', {}, el('tr', {}, ['field', 'value', 'matched', 'alone', 'packet', 'seen'].map((key) => el('th', { scope: 'col', class: key === 'alone' || key === 'packet' ? 'num' : null }, word('ui.' + key))))),
      el('tbody', {}, h.evidence.map(([field, value, signature, matched, alone, first, packet]) => el('tr', {},
        el('td', { 'data-label': word('ui.field') }, el('code', {}, data.texts[field])),
        el('td', { 'data-label': word('ui.value') }, wire(data.texts[value])),
        el('td', { 'data-label': word('ui.matched') }, el('span', {}, el('code', {}, data.texts[signature]), ' ', second(el('code', {}, data.texts[matched])))),
        el('td', { class: 'num', 'data-label': word('ui.alone') }, alone + ' %'),
        el('td', { class: 'num', 'data-label': word('ui.packet') }, grouped(packet)),
        el('td', { class: 'time', 'data-label': word('ui.seen') }, moment(first))))));
    box.replaceChildren(
      back,
      el('h1', { tabindex: '-1' }, wire(h.product || h.vendor)),
      el('p', { class: 'lead' }, h.ip),
      h.shared ? el('div', { class: 'caution', role: 'note' }, el('p', {}, word('ui.shared'))) : '',
      pairs([
        ['vendor', wire(h.vendor)], ['model', h.model && wire(h.model)], ['version', h.version && wire(h.version)], ['mac', h.mac], ['site', h.site && wire(h.site)],
        ['confidence', h.confidence + ' %'], ['totals', h.totals && bytes(h.totals[0]) + word('comma') + bytes(h.totals[1])],
        ['by-country', h.countries.map(([code, out, inn]) => el('div', {}, country(code) + (lang ? '：' : ': ') + word('ui.out') + '\u00a0' + bytes(out) + word('comma') + word('ui.in') + '\u00a0' + bytes(inn)))],
      ]),
      el('h2', {}, word('ui.evidence') + ' (' + h.evidence.length + ')'), el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': word('ui.evidence') }, evidence),
      el('h2', {}, word('ui.findings-of') + ' (' + own.length + ')'),
      ...own.map((f) => el('article', { class: 'channel' },
        el('h3', {}, wire(channelName(f.channel))),
        el('p', { class: 'meta' }, chip(f.crossing), el('span', { class: 'sev ' + f.severity }, wordOf('severity.', f.severity)), el('span', {}, wordOf('function.', f.channel.function)),
          el('span', {}, (f.inbound ? '← ' : '→ ') + country(f.country) + ' ', wire(name(f))),
          el('span', {}, f.attempt ? word('attempt') : word('ui.out') + ' ' + bytes(f.out) + word('comma') + word('ui.in') + ' ' + bytes(f.back)),
          el('span', {}, count(f.flows, 'flow') + word('comma') + moment(f.first) + ' – ' + moment(f.last))),
        full(f))));
  };
  let where = 0;
  const route = (move) => {
    const hash = decodeURIComponent(location.hash.slice(1));
    const isAsset = hash.startsWith('asset-');
    const was = !at('asset').hidden;
    if (isAsset && !was) where = window.scrollY;
    at('asset').hidden = !isAsset;
    at('report').hidden = isAsset;
    if (isAsset) {
      showAsset(hash.slice(6));
      if (move) {
        window.scrollTo(0, 0);
        at('asset').querySelector('h1').focus({ preventScroll: true });
      }
    } else if (was && move) {
      const target = hash && at(hash);
      if (target) target.scrollIntoView();
      else window.scrollTo(0, where);
    }
  };

  // What is shown, for a spreadsheet: a cell that would be a formula becomes text.
  const csvCell = (value) => {
    const text = value === null || value === undefined ? '' : String(value);
    return '"' + (typeof value !== 'number' && SAME_CSV.test(text) ? "'" : '') + text.replace(/"/g, '""') + '"';
  };
  const exportCsv = () => {
    const columns = {
      id: (f) => f.id, severity: (f) => f.severity, crossing: (f) => f.crossing, direction: directionOf, 'asset.ip': (f) => f.host.ip,
      'asset.mac': (f) => f.host.mac, 'asset.vendor': (f) => f.host.vendor, 'asset.product': (f) => f.host.product,
      'channel.id': (f) => f.channel.id, 'channel.vendor': (f) => f.channel.vendor, 'channel.product': (f) => f.channel.product,
      'channel.function': (f) => f.channel.function, 'channel.data': (f) => f.channel.data.join(' '), 'destination.country': (f) => f.country,
      'destination.country_basis': (f) => f.basis, 'destination.domain': (f) => f.domain, 'destination.ip': (f) => f.ip.join(' ') + (f.more ? ' …' : ''),
      'destination.as.number': (f) => f.operator && f.operator.number, 'destination.as.organization': (f) => f.operator && f.operator.name,
      attempted_only: (f) => String(f.attempt), bytes_out: (f) => f.out, bytes_in: (f) => f.back, sessions: (f) => f.flows,
      first_seen: (f) => moment(f.first).replace(' ', 'T') + 'Z', last_seen: (f) => moment(f.last).replace(' ', 'T') + 'Z',
      why: (f) => reasons(f).map(({ text }) => text).join(' '),
    };
    const lines = [Object.keys(columns).map(csvCell), ...shown().map((f) => Object.values(columns).map((of) => csvCell(of(f))))];
    const blob = new Blob(['\ufeff' + lines.map((line) => line.join(',')).join('\r\n') + '\r\n'], { type: 'text/csv;charset=utf-8' });
    const link = el('a', { href: URL.createObjectURL(blob), download: 'findings.csv' });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // Language and theme.
  const THEMES = ['auto', 'light', 'dark'];
  const tools = () => {
    const theme = root.dataset.theme || 'auto';
    at('tools').replaceChildren(
      el('button', { type: 'button', id: 'language', lang: lang ? 'en' : 'zh-CN', onclick: () => {
        lang = 1 - lang;
        root.dataset.lang = lang ? 'zh' : 'en';
        root.lang = lang ? 'zh-CN' : 'en';
        document.title = word('ui.title');
        draw();
        at('language').focus();
      } }, word('ui.language')),
      el('button', { type: 'button', id: 'theme', onclick: () => {
        const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
        if (next === 'auto') delete root.dataset.theme;
        else root.dataset.theme = next;
        tools();
        at('theme').focus();
      } }, word('ui.theme-' + theme)));
  };
  const draw = () => {
    tools();
    build();
    route(false);
  };
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-crossing]');
    if (!link || !findings.length) return;
    state.filters = { crossing: link.dataset.crossing };
    state.search = '';
    state.page = 0;
    build();
  });
  window.addEventListener('hashchange', () => route(true));
  document.querySelectorAll('#findings .first').forEach((table) => table.remove());
  at('table').hidden = !findings.length;
  if (window.matchMedia('(max-width: 760px)').matches) document.querySelectorAll('.ways').forEach((ways) => { ways.open = true; });
  draw();
  if (location.hash.startsWith('#asset-')) route(true);
})();
