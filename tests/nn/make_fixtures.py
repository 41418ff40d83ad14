#!/usr/bin/env python3
"""make_fixtures.py [FOLDER]: what PyTorch makes of updates of PPO and of layers, for tests/nn. The
updates are CleanRL's arithmetic, RLlib's loss, and both distributions; written out here in PyTorch's
operations, with its autograd and its Adam. Needs torch (PyPI, any recent version; the CPU is
enough); not run by tests.

File: b'RTCNN1\\0\\0', then arrays: a name (24 bytes, zeros behind it), u32 0 = f32 or 1 = i32, u32
count, the elements; little-endian."""
import os
import struct
import sys

import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence


def write(path, arrays):
    with open(path, 'wb') as file:
        file.write(b'RTCNN1\0\0')
        for name, values in arrays.items():
            values = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
            whole = values.dtype.kind in 'iub'
            data = values.astype('<i4' if whole else '<f4').ravel()
            file.write(struct.pack('<24s2I', name.encode(), int(whole), data.size) + data.tobytes())


class Agent(nn.Module):
    def __init__(self, seen, outputs, hidden, shared, numbers):
        super().__init__()
        self.shared, self.numbers = shared, numbers

        def tower():
            layers, width = [], seen
            for h in hidden:
                layers += [nn.Linear(width, h), nn.Tanh()]
                width = h
            return nn.Sequential(*layers), width
        self.actor, width = tower()
        self.policy = nn.Linear(width, outputs)
        if numbers:
            self.log_sigma = nn.Parameter(torch.randn(outputs) * 0.3)
        self.critic = self.actor if shared else tower()[0]
        self.value = nn.Linear(width, 1)

    def modules_in_order(self):
        parts = [m for m in self.actor if isinstance(m, nn.Linear)] + [self.policy]
        if self.numbers:
            parts.append(self.log_sigma)
        if not self.shared:
            parts += [m for m in self.critic if isinstance(m, nn.Linear)]
        return parts + [self.value]

    def flat(self):
        """Weights inputs × outputs, then biases: the order of rtc's buffer."""
        out = []
        for part in self.modules_in_order():
            if isinstance(part, nn.Linear):
                out += [part.weight.detach().T.reshape(-1), part.bias.detach()]
            else:
                out.append(part.detach())
        return torch.cat(out).clone()

    def forward(self, x):
        return self.policy(self.actor(x)), self.value(self.critic(x)).view(-1)


def distributions(case, agent, logits, masks):
    if case['numbers']:
        return [Normal(logits, agent.log_sigma.expand_as(logits).exp())]
    parts = torch.split(logits, case['sizes'], dim=1)
    if masks is None:
        return [Categorical(logits=part) for part in parts]
    return [Categorical(logits=torch.where(mask, part, torch.tensor(-1e8)))
            for part, mask in zip(parts, torch.split(masks, case['sizes'], dim=1))]


def log_prob(case, ds, actions):
    if case['numbers']:
        return ds[0].log_prob(actions).sum(1)
    return sum(d.log_prob(actions[:, i]) for i, d in enumerate(ds))


def entropy_of(case, ds):
    return ds[0].entropy().sum(1) if case['numbers'] else sum(d.entropy() for d in ds)


def divergence(case, old, new):
    if case['numbers']:
        return kl_divergence(old[0], new[0]).sum(1)
    return sum(kl_divergence(o, n) for o, n in zip(old, new))


def loss_of(case, agent, batch, index, old):
    pick = {k: v[index] if v is not None else None for k, v in batch.items()}
    logits, value = agent(pick['seen'])
    ds = distributions(case, agent, logits, pick['masks'])
    logratio = log_prob(case, ds, pick['actions']) - pick['logp']
    ratio = logratio.exp()
    advantages = pick['advantages']
    if case['semantics'] == 'cleanrl':
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    clip = case['clip']
    policy_loss = torch.max(-advantages * ratio, -advantages * torch.clamp(ratio, 1 - clip, 1 + clip)).mean()
    if case['semantics'] == 'cleanrl':
        unclipped = (value - pick['returns']) ** 2
        near = pick['values'] + torch.clamp(value - pick['values'], -clip, clip)
        value_loss = 0.5 * torch.max(unclipped, (near - pick['returns']) ** 2).mean()
    else:
        value_loss = torch.clamp((value - pick['returns']) ** 2, 0, case['value_clip']).mean()
    entropy = entropy_of(case, ds).mean()
    loss = policy_loss - case['entropy'] * entropy + case['value_coef'] * value_loss
    kl = torch.zeros(())
    if case['kl_coef']:
        before = distributions(case, None, old[0][index], pick['masks']) if not case['numbers'] else \
            [Normal(old[0][index], old[1].exp().expand_as(old[0][index]))]
        kl = divergence(case, before, ds).mean()
        loss = loss + case['kl_coef'] * kl
    with torch.no_grad():
        stats = [policy_loss, value_loss, entropy, ((ratio - 1) - logratio).mean(), -logratio.mean(), kl,
                 ((ratio - 1).abs() > clip).float().mean()]
    return loss, torch.stack([s.detach() for s in stats])


def update(case):
    torch.manual_seed(case['seed'])
    n, size, epochs = 48, 12, 3
    outputs = case['numbers'] or sum(case['sizes'])
    agent = Agent(5, outputs, [16, 12], case['shared'], case['numbers'])
    batch = {'seen': torch.randn(n, 5), 'advantages': torch.randn(n) * 2 + 0.5, 'masks': None}
    with torch.no_grad():
        logits, values = agent(batch['seen'])
        if case['masked']:
            batch['masks'] = torch.rand(n, outputs) < 0.7
            at = 0
            for s in case['sizes']:
                batch['masks'][:, at] = True
                at += s
        ds = distributions(case, agent, logits, batch['masks'])
        batch['actions'] = ds[0].sample() if case['numbers'] else torch.stack([d.sample() for d in ds], 1)
        batch['values'] = values + torch.randn(n) * 0.3
        # Old policies that differ from the one now, so that ratios are clipped from the start.
        batch['logp'] = log_prob(case, ds, batch['actions']) + torch.randn(n) * 0.2
        batch['returns'] = batch['values'] + torch.randn(n) * 1.5
        old = (logits.clone(), agent.log_sigma.detach().clone() if case['numbers'] else None)
    arrays = {'before': agent.flat(), **{k: v for k, v in batch.items() if v is not None}}
    if case['semantics'] == 'rllib':
        a = batch['advantages']
        batch['advantages'] = (a - a.mean()) / max(1e-4, a.std(unbiased=False).item())
    adam = torch.optim.Adam(agent.parameters(), lr=case['rate'], eps=1e-5)
    orders, stats, norms = [], [], []
    for _ in range(epochs):
        order = torch.randperm(n)
        orders.append(order)
        for at in range(0, n, size):
            loss, s = loss_of(case, agent, batch, order[at:at + size], old)
            adam.zero_grad()
            loss.backward()
            norms.append(nn.utils.clip_grad_norm_(agent.parameters(), 0.5).detach())
            adam.step()
            stats.append(s)
    returns, values = batch['returns'].numpy(), batch['values'].numpy()
    explained = 1 - np.var(returns - values) / np.var(returns)
    arrays.update(order=torch.stack(orders), after=agent.flat(),
                  stats=torch.cat([torch.stack(stats).mean(0), torch.stack(norms).mean().view(1),
                                   torch.tensor([explained])]))
    return arrays


def linear(layer):
    return torch.cat([layer.weight.detach().T.reshape(-1), layer.bias.detach()])


def layers():
    """An LSTM with resets, a layer norm, SiLU and attention: outputs, and gradients of sum(y * w)."""
    torch.manual_seed(9)
    steps, lanes, seen, width = 5, 3, 4, 6
    x, w = torch.randn(steps, lanes, seen), torch.randn(steps, lanes, width)
    keep = (torch.rand(steps, lanes) > 0.3).float()
    h, c = torch.randn(1, lanes, width), torch.randn(1, lanes, width)
    lstm, norm, silu = nn.LSTM(seen, width), nn.LayerNorm(width), nn.Linear(width, width)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    arrays = {'lstm_x': x, 'lstm_keep': keep, 'lstm_h': h, 'lstm_c': c, 'lstm_w': w}
    outputs, hidden, cell = [], h, c
    for t in range(steps):
        k = keep[t].view(1, lanes, 1)
        y, (hidden, cell) = lstm(x[t:t + 1], (hidden * k, cell * k))
        outputs.append(y)
    y = nn.functional.silu(silu(norm(torch.cat(outputs))))
    (y * w).sum().backward()

    def flat(grad):
        pick = (lambda p: p.grad) if grad else (lambda p: p.detach())
        bias = lstm.bias_ih_l0.grad if grad else (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach()
        return torch.cat([pick(lstm.weight_ih_l0).T.reshape(-1), pick(lstm.weight_hh_l0).T.reshape(-1), bias,
                          pick(norm.weight), pick(norm.bias), pick(silu.weight).T.reshape(-1), pick(silu.bias)])
    arrays.update(lstm_params=flat(False), lstm_grads=flat(True), lstm_y=y, lstm_after=torch.cat([cell, hidden]))

    rows, near, heads, width = 7, 4, 2, 8
    q, k, v = torch.randn(rows, 1, width), torch.randn(rows, near, width), torch.randn(rows, near, width)
    w, present = torch.randn(rows, 1, width), torch.rand(rows, near) < 0.6
    present[:, 1] = True
    projections = [nn.Linear(width, width) for _ in range(3)]

    def split(x):
        return x.view(rows, -1, heads, width // heads).transpose(1, 2)
    y = nn.functional.scaled_dot_product_attention(
        *[split(p(x)) for p, x in zip(projections, (q, k, v))], attn_mask=present.view(rows, 1, 1, near))
    y = y.transpose(1, 2).reshape(rows, 1, width)
    (y * w).sum().backward()
    arrays.update(attend_q=q, attend_k=k, attend_v=v, attend_w=w, attend_present=present.float(), attend_y=y,
                  attend_params=torch.cat([linear(p) for p in projections]),
                  attend_grads=torch.cat([torch.cat([p.weight.grad.T.reshape(-1), p.bias.grad])
                                          for p in projections]))

    p = torch.randn(20, requires_grad=True)
    grads = torch.randn(4, 20)
    arrays.update(steps_before=p, steps_grads=grads)
    for name, make in {'adam': lambda q: torch.optim.Adam([q], lr=0.01, weight_decay=0.1),
                       'adamw': lambda q: torch.optim.AdamW([q], lr=0.01, weight_decay=0.1),
                       'sgd': lambda q: torch.optim.SGD([q], lr=0.01, momentum=0.9)}.items():
        q = p.detach().clone().requires_grad_()
        rule = make(q)
        for g in grads:
            q.grad = g.clone()
            rule.step()
        arrays['steps_' + name] = q
    return arrays


BASE = {'semantics': 'cleanrl', 'sizes': [3], 'numbers': 0, 'shared': False, 'masked': False, 'clip': 0.2,
        'entropy': 0.01, 'value_coef': 0.5, 'value_clip': 0, 'kl_coef': 0, 'rate': 2.5e-3}
CASES = {
    'cleanrl': dict(BASE, seed=1),
    'choices': dict(BASE, seed=2, sizes=[2, 4], masked=True, shared=True),
    'numbers': dict(BASE, seed=3, sizes=[], numbers=3),
    'rllib': dict(BASE, seed=4, semantics='rllib', clip=0.3, entropy=0.0, value_coef=1.0, value_clip=1.5,
                  kl_coef=0.2, sizes=[4], masked=True),
    'rllib_numbers': dict(BASE, seed=5, semantics='rllib', clip=0.3, entropy=0.005, value_coef=1.0,
                          value_clip=1.5, kl_coef=0.2, sizes=[], numbers=2, shared=True),
}


def main():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'golden')
    folder = sys.argv[1] if len(sys.argv) > 1 else here
    os.makedirs(folder, exist_ok=True)
    torch.set_num_threads(1)
    print('torch', torch.__version__)
    write(os.path.join(folder, 'layers.bin'), layers())
    for name, case in CASES.items():
        write(os.path.join(folder, f'ppo_{name}.bin'), update(case))


if __name__ == '__main__':
    main()
