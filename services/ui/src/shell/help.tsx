import { Dialog, DialogDismiss, DialogHeading } from "@ariakit/react"

import { KEYS } from "~/shell/keys"

export function Help({ open, close }: { open: boolean; close: () => void }) {
  return (
    <Dialog open={open} onClose={close} className="dialog" backdrop={<div className="backdrop" />}>
      <header className="dialog-head">
        <DialogHeading>Keys</DialogHeading>
        <DialogDismiss className="button">Close</DialogDismiss>
      </header>
      <dl className="keys">
        {KEYS.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
