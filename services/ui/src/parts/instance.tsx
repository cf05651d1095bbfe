import { shortId } from "~/view/format"

/** A process: what it is called, or its id in short; the whole id is its title. */
export function Instance({ id, name }: { id: string; name?: string }) {
  const text = name || shortId(id)
  return (
    <span className="foreign" title={text === id ? undefined : id}>
      {text}
    </span>
  )
}
