// One trace: where its time went, span by span.
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { getRouteApi, Link } from "@tanstack/react-router"
import { useCallback, useEffect, useMemo, useState } from "react"

import { Comparison } from "~/features/trace/comparison"
import { Detail } from "~/features/trace/detail"
import { Flame } from "~/features/trace/flame"
import { ancestors, isClosed, itemsOf, lineOf, matches, type Options } from "~/features/trace/items"
import { logsByRow, placedLogs } from "~/features/trace/logs"
import { Minimap } from "~/features/trace/minimap"
import { isLeaf } from "~/features/trace/outline"
import { logsOf, occurrencesOf } from "~/features/trace/queries"
import { outlineOf, pathOf, type Read } from "~/features/trace/read"
import { rowsOf, type Search, toggled } from "~/features/trace/search"
import { Waterfall, type Zoom } from "~/features/trace/waterfall"
import { Copy } from "~/parts/copy"
import { focusOn } from "~/parts/focus"
import { Heading } from "~/parts/heading"
import { SqlButton } from "~/parts/panel"
import { SearchField } from "~/parts/search-field"
import { serviceRanks } from "~/parts/service"
import { Splitter, useSideWidth } from "~/parts/splitter"
import { Failure, Loading } from "~/parts/states"
import { useKey } from "~/shell/keys"
import { count, duration } from "~/view/format"
import { exact, moment } from "~/view/time"

const route = getRouteApi("/traces/$id")

const LEVELS = [0, 2, 3, 4]

export function TracePage() {
  const { id } = route.useParams()
  return <OneTrace key={id} id={id} />
}

function OneTrace({ id }: { id: string }) {
  const search = route.useSearch()
  // The span of the URL is looked up with the outline; what is opened later is known by its row.
  const [wanted, setWanted] = useState(search.span)
  const { data, error, isFetching, refetch } = useQuery(outlineOf(useQueryClient(), id, wanted))
  if (error && !data) {
    return (
      <div className="page">
        <Failure error={error} again={() => void refetch()} />
      </div>
    )
  }
  if (!data) {
    return (
      <div className="page">
        <Loading rows={12} name="the trace" />
      </div>
    )
  }
  return (
    <Opened
      key={`${data.tree.version} ${wanted}`}
      id={id}
      read={data}
      isWhole={!isFetching}
      wanted={wanted}
      lookUp={setWanted}
      again={() => void refetch()}
    />
  )
}

type OpenedProps = {
  id: string
  read: Read
  isWhole: boolean // the times have come too, if they come at all
  wanted: string | undefined // id of the span that the outline names
  lookUp: (span: string) => void
  again: () => void
}

function Opened({ id, read, isWhole, wanted, lookUp, again }: OpenedProps) {
  const { tree, times } = read
  const { outline } = tree
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const set = useCallback(
    (next: Partial<Search> | ((now: Search) => Partial<Search>), replace = false) =>
      void navigate({
        search: (now) => ({ ...now, ...(typeof next === "function" ? next(now) : next) }),
        replace,
      }),
    [navigate],
  )
  const logs = useQuery({ ...logsOf(id), enabled: isWhole }) // the lines of spans come first
  const placed = useMemo(() => placedLogs(logs.data?.logs ?? [], tree.start), [logs.data, tree.start])
  const showsLogs = search.logs !== false
  const options = useMemo<Options>(
    () => ({
      closed: rowsOf(search.closed),
      opened: rowsOf(search.opened),
      folds: search.folds !== false,
      level: search.level ?? 0,
      criticalOnly: search.critical === true,
      times,
      logs: showsLogs ? logsByRow(placed) : [],
    }),
    [search.closed, search.opened, search.folds, search.level, search.critical, times, placed, showsLogs],
  )
  const items = useMemo(() => itemsOf(outline, options), [outline, options])
  const found = useMemo(() => matches(outline, search.q ?? ""), [outline, search.q])
  const ranks = useMemo(() => serviceRanks(outline.services), [outline])
  const { selected, setOpening, named } = useSelected(read, search.span, wanted, lookUp, set)
  const [active, setActive] = useState(() => (tree.span === null ? 0 : lineOf(items, tree.span)))
  const [activeIn, setActiveIn] = useState(items)
  if (activeIn !== items) {
    // Its row stays the active one where lines come or go above it: log records are read last.
    setActiveIn(items)
    const line = lineOf(items, activeIn.row[active] ?? 0)
    if (line >= 0) setActive(line)
  }
  const [side, setSide] = useSideWidth()
  const whole = Math.max(tree.duration, 1e-6)
  const zoom = useMemo(() => ({ from: search.from ?? 0, to: search.to ?? whole }), [search.from, search.to, whole])

  const toggle = (line: number) => {
    const row = items.row[line] ?? 0
    const parent = outline.parent[row] ?? -1
    if ((items.count[line] ?? 1) > 1) set({ opened: toggled(search.opened, parent) })
    else if (!isLeaf(outline, row)) set({ closed: toggled(search.closed, row), level: undefined })
    else if (options.opened.has(parent)) set({ opened: toggled(search.opened, parent) })
  }
  const open = (line: number) => {
    setActive(line)
    if ((items.count[line] ?? 1) > 1) toggle(line)
    else setOpening(items.row[line] ?? 0)
  }

  /** Shows a row, opening what hides it. */
  const reveal = (row: number) => {
    const above = ancestors(outline, row)
    const closed = [...options.closed].filter((one) => !above.includes(one))
    const parent = outline.parent[row] ?? -1
    const line = lineOf(items, row)
    const isFolded = line >= 0 && (items.count[line] ?? 1) > 1
    const opened = isFolded ? toggled(search.opened, parent) : search.opened
    if (line < 0 || isFolded) {
      set({ closed: closed.join(",") || undefined, opened, level: undefined, critical: undefined }, true)
    }
    setPending(row)
  }
  const [pending, setPending] = useState<number | null>(tree.span)
  useEffect(() => {
    if (pending === null) return
    const line = lineOf(items, pending)
    if (line >= 0) {
      setActive(line)
      setPending(null)
    }
  }, [items, pending])

  const step = (rows: ArrayLike<number>, forward: boolean) => {
    if (!rows.length) return
    const here = items.row[active] ?? 0
    const all = Array.from(rows)
    const next = forward ? (all.find((row) => row > here) ?? all[0]) : (all.findLast((row) => row < here) ?? all.at(-1))
    if (next !== undefined) reveal(next)
  }
  // The whole is what is shown anyway. In the URL the zoom stands to the nanosecond.
  const setZoom = (next: Zoom | undefined) =>
    set({
      from: next && next.from > 0 ? Math.round(next.from * 1e6) / 1e6 : undefined,
      to: next && next.to < whole ? Math.round(next.to * 1e6) / 1e6 : undefined,
    })
  const zoomBy = (factor: number) => {
    const middle = (zoom.from + zoom.to) / 2
    const half = ((zoom.to - zoom.from) / 2) * factor
    const next = { from: Math.max(0, middle - half), to: Math.min(whole, middle + half) }
    setZoom(next)
  }
  useKey("e", () => step(errorRows(read), true), true)
  useKey("c", () => set((now) => ({ critical: now.critical ? undefined : true })))
  useKey("[", () => zoomBy(2), true)
  useKey("]", () => zoomBy(0.5), true)
  useKey("n", () => step(found, true), true)

  return (
    <div className="trace">
      <Head id={id} read={read} />
      <div className="controls trace-controls">
        <SearchField value={search.q} onChange={(q) => set({ q }, true)} name="Find in the trace" />
        {search.q && (
          <span className="find">
            <span className="muted" role="status">
              {position(found, items.row[active] ?? 0)} / {count(found.length)}
            </span>
            <button type="button" className="button quiet" onClick={() => step(found, false)} aria-label="Previous match">
              ↑
            </button>
            <button type="button" className="button quiet" onClick={() => step(found, true)} aria-label="Next match">
              ↓
            </button>
          </span>
        )}
        <span role="group" aria-label="Levels shown">
          {LEVELS.map((level) => (
            <button
              key={level}
              type="button"
              className="button quiet"
              aria-pressed={(search.level ?? 0) === level}
              aria-label={level ? `${level - 1} levels` : "All levels"}
              onClick={() => set({ level: level || undefined, closed: undefined })}
            >
              {level ? level - 1 : "∗"}
            </button>
          ))}
        </span>
        <Toggle on={search.folds !== false} name="Fold" set={(on) => set({ folds: on ? undefined : false })} />
        <Toggle on={search.critical === true} name="Critical path" set={(on) => set({ critical: on || undefined })} />
        <Toggle on={showsLogs} name="Logs" set={(on) => set({ logs: on ? undefined : false })} />
        <span role="group" aria-label="View" className="views">
          {([undefined, "flame", "compare"] as const).map((view) => (
            <button
              key={view ?? "waterfall"}
              type="button"
              className="button quiet"
              aria-pressed={search.view === view}
              onClick={() => set({ view })}
            >
              {view === "flame" ? "Flame graph" : view === "compare" ? "Compare" : "Waterfall"}
            </button>
          ))}
        </span>
        {logs.error && <span className="warn small">▲ Without log records: {logs.error.message}</span>}
        <SqlButton title="the trace" source={{ path: pathOf(id), query: {} }} />
      </div>
      {search.view === "flame" ? (
        <Flame outline={outline} times={times} />
      ) : search.view === "compare" ? (
        <Comparison read={read} ranks={ranks} other={search.with} choose={(other) => set({ with: other })} />
      ) : (
        <>
          <Minimap
            outline={outline}
            whole={whole}
            zoom={zoom}
            onZoom={setZoom}
          />
          <div className="trace-body">
            <div className="trace-lines">
            <Axis zoom={zoom} />
            <Waterfall
              outline={outline}
              times={times}
              items={items}
              logs={placed}
              zoom={zoom}
              active={active}
              selected={selected}
              isOpen={(row) => !isClosed(outline, options, row)}
              marked={(row) => found.length > 0 && includes(found, row)}
              onActive={setActive}
              onSelect={open}
              onToggle={toggle}
            />
            </div>
            {selected !== null && <Splitter width={side} onWidth={setSide} />}
            {selected !== null && (
              <Detail
                width={side}
                part={search.part}
                setPart={(part) => set({ part })}
                tree={tree}
                times={times}
                row={selected}
                logs={placed}
                ranks={ranks}
                close={() => {
                  setOpening(null)
                  set({ span: undefined, part: undefined })
                  focusOn(".waterfall")
                }}
                again={again}
                named={named}
              />
            )}
          </div>
        </>
      )}
    </div>
  )
}

/** The row of the span that the URL names, or of one that was clicked: rows have no ids, so a row's
 * id comes with its details, and then it stands in the URL. */
function useSelected(
  { tree }: Read,
  span: string | undefined,
  wanted: string | undefined,
  lookUp: (span: string) => void,
  set: (next: Partial<Search>) => void,
) {
  const [opening, setOpening] = useState<number | null>(null)
  const [rows] = useState(() => new Map<string, number | null>(wanted ? [[wanted, tree.span]] : []))
  useEffect(() => {
    setOpening(null)
    if (span && !rows.has(span)) lookUp(span)
  }, [span, rows, lookUp])
  const named = useCallback(
    (id: string, row: number) => {
      rows.set(id, row)
      if (row !== opening) return
      if (id === span) setOpening(null)
      else set({ span: id })
    },
    [rows, opening, span, set],
  )
  return { selected: opening ?? (span ? (rows.get(span) ?? null) : null), setOpening, named }
}

function Toggle({ on, name, set }: { on: boolean; name: string; set: (on: boolean) => void }) {
  return (
    <button type="button" className="button quiet" aria-pressed={on} onClick={() => set(!on)}>
      {name}
    </button>
  )
}

function Head({ id, read }: { id: string; read: Read }) {
  const { tree } = read
  const { outline } = tree
  const { data } = useQuery(occurrencesOf(id))
  const root = (outline.size && outline.names[outline.name[0] ?? 0]) || ""
  return (
    <div className="page-head trace-head">
      <Heading text={root} foreign />
      <span className="strong">{duration(tree.duration)}</span>
      <span className="muted">
        {count(tree.spanCount)} spans, {tree.services.length} services
      </span>
      {tree.errorCount > 0 && <span className="error">✕ {count(tree.errorCount)}</span>}
      {data?.transactions.map((one) => (
        <span key={`${one.id} ${one.key}`}>
          of{" "}
          <Link to="/transactions/$id" params={{ id: one.id }}>
            {one.name}
          </Link>
          {one.source === "defined" && <span className="mono muted"> {one.key}</span>}
          {one.trace_ids
            .filter((other) => other !== tree.traceId)
            .map((other, index) => (
              <Link key={other} to="/traces/$id" params={{ id: other }} search={{}} title={other}>
                {" "}
                {index ? "" : "also "}trace {index + 2}
              </Link>
            ))}
        </span>
      ))}
      <span className="small muted">
        <time title={exact(tree.start)}>{moment(tree.start)}</time> · <code>{id}</code> <Copy text={id} name="the trace id" />
        <Copy text={() => location.href} name="the link" label="link" />{" "}
        <a href={pathOf(id)} target="_blank" rel="noreferrer">
          JSON
        </a>
      </span>
      {!tree.isComplete && <span className="warn small">▲ Some parent spans have not come, or were dropped.</span>}
      {tree.truncated && (
        <span className="warn small">
          ▲ The first {count(outline.size)} of {count(tree.spanCount)} spans.
        </span>
      )}
    </div>
  )
}

const TICKS = [0, 0.25, 0.5, 0.75]

function Axis({ zoom }: { zoom: Zoom }) {
  return (
    <div className="trace-axis small muted" aria-hidden>
      <span />
      <span className="ticks">
        {TICKS.map((tick) => (
          <span key={tick} style={{ left: `${tick * 100}%` }}>
            {duration(zoom.from + (zoom.to - zoom.from) * tick)}
          </span>
        ))}
      </span>
      <span className="end">{duration(zoom.to)}</span>
    </div>
  )
}

function errorRows({ tree: { outline } }: Read): number[] {
  const rows = []
  for (let row = 0; row < outline.size; row++) if (outline.isError[row]) rows.push(row)
  return rows
}

/** Whether the ascending rows have this one. */
function includes(rows: Int32Array, row: number): boolean {
  return rows[lowerBound(rows, row)] === row
}

function lowerBound(rows: Int32Array, row: number): number {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((rows[middle] ?? 0) < row) low = middle + 1
    else high = middle
  }
  return low
}

const position = (rows: Int32Array, row: number) => (includes(rows, row) ? lowerBound(rows, row) + 1 : "–")
