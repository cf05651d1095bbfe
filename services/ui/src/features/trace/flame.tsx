// The trace as a flame graph: calls with the same path added up, as wide as their time.
import { useMemo, useState } from "react"

import { type Call, callsOf } from "~/features/trace/calls"
import type { Outline, Times } from "~/features/trace/outline"
import { ranksOf, serviceClass } from "~/parts/service"
import { count, duration, percent } from "~/view/format"

const THINNEST = 0.2 // percent of the width; narrower calls are not drawn
const LINE = 22
const DEEPEST = 200

type Box = { call: Call; left: number; width: number; depth: number }

export function Flame({ outline, times }: { outline: Outline; times: Times | undefined }) {
  const calls = useMemo(() => callsOf(outline, times), [outline, times])
  const [root, setRoot] = useState(-1)
  const boxes = useMemo(() => boxesOf(calls, root), [calls, root])
  const whole = boxes.filter((box) => box.depth === 0).reduce((sum, box) => sum + box.call.total, 0)
  const deepest = boxes.reduce((depth, box) => Math.max(depth, box.depth), 0)
  return (
    <div className="flame-frame">
      {root >= 0 && (
        <button type="button" className="button quiet" onClick={() => setRoot(calls[root]?.parent ?? -1)}>
          Up
        </button>
      )}
      <div className="flame" role="tree" aria-label="Flame graph" style={{ height: (deepest + 1) * LINE }}>
        {boxes.map(({ call, left, width, depth }) => (
          <button
            key={call.id}
            type="button"
            role="treeitem"
            aria-level={depth + 1}
            className={`flame-box ${serviceClass(ranksOf(outline.services)[call.service] ?? 0)}`}
            style={{ left: `${left}%`, width: `${width}%`, top: depth * LINE }}
            title={`${outline.services[call.service]}: ${outline.names[call.name]}\n${count(call.count)} × ${duration(call.total)}, self ${duration(call.self)}, ${percent(call.total / Math.max(whole, 1e-9))}`}
            onClick={() => setRoot(call.id)}
          >
            <span className="flame-edge" aria-hidden />
            {call.errors > 0 && <span className="error">✕</span>}
            <span className="one-line">
              {outline.names[call.name]}
              {call.count > 1 && <span className="muted"> {count(call.count)} ×</span>}{" "}
              <span className="muted">{duration(call.total)}</span>
            </span>
          </button>
        ))}
      </div>
    </div>
  )
}

/** Children stand below their call, side by side. Parallel ones may take longer than it: then they
 * are drawn to scale within its width. */
function boxesOf(calls: readonly Call[], root: number): Box[] {
  const boxes: Box[] = []
  const tops = root >= 0 ? [root] : calls.filter((call) => call.parent < 0).map((call) => call.id)
  const waiting: [number[], number, number, number, number][] = [[tops, 0, 100, 0, 0]]
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [ids, left, width, depth, room] = next
    const sum = ids.reduce((total, id) => total + (calls[id]?.total ?? 0), 0)
    const scale = width / Math.max(sum, room, 1e-9)
    let place = left
    for (const id of ids) {
      const call = calls[id]
      if (!call) continue
      const wide = call.total * scale
      if (wide >= THINNEST && depth < DEEPEST) {
        boxes.push({ call, left: place, width: wide, depth })
        waiting.push([call.children, place, wide, depth + 1, call.total])
      }
      place += wide
    }
  }
  return boxes
}
