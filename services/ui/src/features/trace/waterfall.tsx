// The lines of a trace, of which only those in sight are in the document.
import { type KeyboardEvent, memo, useEffect, useRef } from "react"

import { foldTotals, type Items } from "~/features/trace/items"
import { isLeaf, type Outline, type Times } from "~/features/trace/outline"
import type { PlacedLog } from "~/features/trace/logs"
import { useLines } from "~/parts/lines"
import { ranksOf, serviceClass } from "~/parts/service"
import { count, duration } from "~/view/format"

export const LINE = 24 // pixels
const INDENT = 12
const DEEPEST = 24 // levels of indentation
const SEGMENTS = 24 // critical segments drawn of one span

export type Zoom = { from: number; to: number } // milliseconds

type Props = {
  outline: Outline
  times: Times | undefined
  items: Items
  logs: readonly PlacedLog[]
  zoom: Zoom
  active: number // line
  selected: number | null // row
  isOpen: (row: number) => boolean
  marked: (row: number) => boolean
  onActive: (line: number) => void
  onSelect: (line: number) => void
  onToggle: (line: number) => void
}

export function Waterfall(props: Props) {
  const { items, active, onActive, onSelect, onToggle, isOpen, outline } = props
  const scroller = useRef<HTMLDivElement>(null)
  const { first, last, room } = useLines(scroller, items.length, LINE)

  // The active line is in sight, also after a search, when the page is opened with a span and above its details.
  useEffect(() => {
    const element = scroller.current
    if (!element || active < 0) return
    const [top, bottom] = [active * LINE, (active + 1) * LINE]
    if (top < element.scrollTop || bottom > element.scrollTop + element.clientHeight) {
      element.scrollTop = top - element.clientHeight / 3
    }
  }, [active, room])

  const pressed = (event: KeyboardEvent) => {
    const row = items.row[active] ?? 0
    const moves: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, j: 1, k: -1 }
    const step = moves[event.key]
    if (step !== undefined) onActive(Math.min(Math.max(active + step, 0), items.length - 1))
    else if (event.key === "Home") onActive(0)
    else if (event.key === "End") onActive(items.length - 1)
    else if (event.key === "Enter" || event.key === " ") onSelect(active)
    else if (event.key === "o") onToggle(active)
    else if (event.key === "ArrowRight" && !isOpen(row) && !isLeaf(outline, row)) onToggle(active)
    else if (event.key === "ArrowLeft" && isOpen(row) && !isLeaf(outline, row)) onToggle(active)
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  // A line gets what it shows and no more: those that stay in sight are not drawn again.
  const latest = useRef(props)
  latest.current = props
  const act = useRef<Acts>({
    select: (line) => latest.current.onSelect(line),
    toggle: (line) => latest.current.onToggle(line),
  }).current
  const { times, logs, zoom, selected, marked } = props
  const lines = []
  for (let line = first; line < last; line++) {
    const row = items.row[line] ?? 0
    const number = items.count[line] ?? 1
    const shared = { line, row, outline, zoom, act, isActive: line === active }
    const log = number === 0 ? logs[items.log[line] ?? 0] : undefined
    if (log) lines.push(<LogLine key={line} {...shared} log={log} />)
    else if (number > 0) {
      lines.push(
        <Line
          key={line}
          {...shared}
          number={number}
          times={times}
          isOpen={isOpen(row)}
          isSelected={selected !== null && selected >= row && selected < row + number}
          isMarked={marked(row)}
        />,
      )
    }
  }
  return (
    <div
      ref={scroller}
      className="waterfall"
      role="treegrid"
      aria-label="Spans"
      aria-rowcount={items.length}
      aria-activedescendant={active >= first && active < last ? `line-${active}` : undefined}
      tabIndex={0}
      onKeyDown={pressed}
    >
      <div className="waterfall-lines" style={{ height: items.length * LINE }} role="rowgroup">
        {lines}
      </div>
    </div>
  )
}

type Acts = { select: (line: number) => void; toggle: (line: number) => void }

type AnyLine = { line: number; row: number; outline: Outline; zoom: Zoom; act: Acts; isActive: boolean }

type LineProps = AnyLine & {
  number: number // of spans
  times: Times | undefined
  isOpen: boolean
  isSelected: boolean
  isMarked: boolean
}

const Line = memo(function Line(props: LineProps) {
  const { line, row, number, outline, times, zoom, act, isActive, isOpen, isSelected, isMarked } = props
  const isFold = number > 1
  const totals = isFold ? foldTotals(outline, row, number) : undefined
  const start = totals?.start ?? outline.start[row] ?? 0
  const length = totals ? totals.end - totals.start : (outline.duration[row] ?? 0)
  const errors = totals?.errors ?? outline.isError[row] ?? 0
  const name = outline.names[outline.name[row] ?? 0] ?? ""
  const service = outline.service[row] ?? 0
  const colour = serviceClass(ranksOf(outline.services)[service] ?? 0)
  const depth = outline.depth[row] ?? 0
  const canToggle = isFold || !isLeaf(outline, row)
  const state = [isActive ? "active" : "", isSelected ? "selected" : "", isMarked ? "marked" : ""]
  return (
    <div
      id={`line-${line}`}
      role="row"
      aria-rowindex={line + 1}
      aria-level={depth + 1}
      aria-expanded={canToggle ? !isFold && isOpen : undefined}
      aria-selected={isSelected}
      className={`line ${state.join(" ")}`}
      style={{ top: line * LINE }}
      onClick={() => act.select(line)}
    >
      <div role="gridcell" className="line-name" style={{ paddingLeft: Math.min(depth, DEEPEST) * INDENT }}>
        {canToggle ? (
          <button
            type="button"
            tabIndex={-1}
            className="caret"
            aria-label={isFold ? `Show ${number} spans` : isOpen ? "Close" : "Open"}
            onClick={(event) => {
              event.stopPropagation()
              act.toggle(line)
            }}
          >
            {!isFold && isOpen ? "▾" : "▸"}
          </button>
        ) : (
          <span className="caret" />
        )}
        <span className={`swatch ${colour}`} aria-hidden />
        {errors > 0 && (
          <span className="error" title={`${errors} in error`}>
            ✕{isFold ? errors : ""}
          </span>
        )}
        {isFold && <span className="times">{count(number)} ×</span>}
        <span className="one-line" title={`${outline.services[service]}: ${name}`}>
          {depth > DEEPEST && <span className="muted">+{depth - DEEPEST} </span>}
          {name}
        </span>
        <span className="line-service muted one-line">{outline.services[service]}</span>
      </div>
      <div role="gridcell" className="line-time">
        <Bar start={start} length={length} zoom={zoom} className={colour} isFold={isFold} />
        {times && <Critical times={times} row={row} count={number} zoom={zoom} />}
      </div>
      <div role="gridcell" className="line-duration">
        {duration(totals ? totals.total : length)}
      </div>
    </div>
  )
})

/** Percent of the zoomed width, never outside of it. */
function placed(start: number, length: number, { from, to }: Zoom): { left: string; width: string } | null {
  const scale = 100 / Math.max(to - from, 1e-9)
  const left = Math.max((start - from) * scale, 0)
  const right = Math.min((start + length - from) * scale, 100)
  if (right < 0 || left > 100) return null
  return { left: `${left}%`, width: `${Math.max(right - left, 0)}%` }
}

type BarProps = { start: number; length: number; zoom: Zoom; className: string; isFold: boolean }

function Bar({ start, length, zoom, className, isFold }: BarProps) {
  const place = placed(start, length, zoom)
  return place && <span className={`span-bar ${className} ${isFold ? "fold" : ""}`} style={place} />
}

function Critical(props: { times: Times; row: number; count: number; zoom: Zoom }) {
  const { times, row, count: number, zoom } = props
  const [first, last] = [times.first[row] ?? 0, times.first[row + number] ?? 0]
  const segments = []
  for (let index = first; index < Math.min(last, first + SEGMENTS); index++) {
    const from = times.from[index] ?? 0
    const place = placed(from, (times.to[index] ?? 0) - from, zoom)
    if (place) segments.push(<span key={index} className="critical" style={place} />)
  }
  return <>{segments}</>
}

const LogLine = memo(function LogLine({ line, row, outline, zoom, act, isActive, log }: AnyLine & { log: PlacedLog }) {
  const depth = Math.min((outline.depth[row] ?? 0) + 1, DEEPEST)
  const tone = log.level === "error" || log.level === "fatal" ? "error" : log.level === "warn" ? "warn" : "muted"
  const at = placed(log.offset, 0, zoom)
  return (
    <div
      id={`line-${line}`}
      role="row"
      aria-rowindex={line + 1}
      aria-level={depth + 1}
      className={`line log ${isActive ? "active" : ""}`}
      style={{ top: line * LINE }}
      onClick={() => act.select(line)}
    >
      <div role="gridcell" className="line-name" style={{ paddingLeft: depth * INDENT }}>
        <span className="caret muted" aria-hidden>
          ┊
        </span>
        <span className={`level ${tone}`}>{(log.level || log.severity).toUpperCase()}</span>
        <span className="one-line" title={log.body.slice(0, 1000)}>
          {log.body.slice(0, 300)}
        </span>
      </div>
      <div role="gridcell" className="line-time">
        {at && <span className={`log-mark ${tone}`} style={{ left: at.left }} />}
      </div>
      <div role="gridcell" className="line-duration muted">
        {duration(log.offset)}
      </div>
    </div>
  )
})
