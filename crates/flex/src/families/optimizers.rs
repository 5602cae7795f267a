//! Steps of optimizers on resource variables, dense and by rows.

use ferrolite_kernels::cpu::gradient::optimizer::Rule;
use ferrolite_kernels::isa::Cpu;
use ferrolite_ops::{Context, FnKernel, Io, Kernel, LowerCx, Node, OpError, OpSpec, TensorValue};

use super::resources::{check_row, with_variables};
use super::support::{no_outputs, number, sizes, tf_name};
use crate::node_def::NodeDef;

const fn apply(name: &'static str, inputs: usize) -> OpSpec {
    OpSpec::custom(name, no_outputs, lower).inputs(inputs, inputs).outputs(0, 0).stateful()
}

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    apply("FlexResourceApplyGradientDescent", 3),
    apply("FlexResourceApplyMomentum", 5),
    apply("FlexResourceApplyKerasMomentum", 5),
    apply("FlexResourceApplyAdam", 10),
    apply("FlexResourceApplyAdamWithAmsgrad", 11),
    apply("FlexResourceApplyAdaMax", 9),
    apply("FlexResourceApplyAdagrad", 4),
    apply("FlexResourceApplyAdagradV2", 5),
    apply("FlexResourceApplyAdadelta", 7),
    apply("FlexResourceApplyRMSProp", 8),
    apply("FlexResourceApplyCenteredRMSProp", 9),
    apply("FlexResourceApplyFtrl", 8),
    apply("FlexResourceApplyFtrlV2", 9),
    apply("FlexResourceApplyPowerSign", 7),
    apply("FlexResourceApplyAddSign", 7),
    apply("FlexResourceApplyProximalGradientDescent", 5),
    apply("FlexResourceApplyProximalAdagrad", 6),
    apply("FlexResourceSparseApplyMomentum", 6),
    apply("FlexResourceSparseApplyKerasMomentum", 6),
    apply("FlexResourceSparseApplyAdagrad", 5),
    apply("FlexResourceSparseApplyAdagradV2", 6),
    apply("FlexResourceSparseApplyAdadelta", 8),
    apply("FlexResourceSparseApplyRMSProp", 9),
    apply("FlexResourceSparseApplyCenteredRMSProp", 10),
    apply("FlexResourceSparseApplyFtrl", 9),
    apply("FlexResourceSparseApplyFtrlV2", 10),
    apply("FlexResourceSparseApplyProximalGradientDescent", 6),
    apply("FlexResourceSparseApplyProximalAdagrad", 7),
];

/// How an operator's inputs are laid out: variable and slots first, then numbers, with the gradient (and in sparse forms
/// the indices right behind it) at some place among them.
#[derive(Clone, Copy)]
struct Form {
    family: &'static str,
    /// Slots besides the variable.
    slots: usize,
    /// Place of the gradient in the dense form.
    gradient: usize,
}

const FORMS: &[Form] = &[
    Form { family: "GradientDescent", slots: 0, gradient: 2 },
    Form { family: "Momentum", slots: 1, gradient: 3 },
    Form { family: "KerasMomentum", slots: 1, gradient: 3 },
    Form { family: "Adam", slots: 2, gradient: 9 },
    Form { family: "AdamWithAmsgrad", slots: 3, gradient: 10 },
    Form { family: "AdaMax", slots: 2, gradient: 8 },
    Form { family: "Adagrad", slots: 1, gradient: 3 },
    Form { family: "AdagradV2", slots: 1, gradient: 4 },
    Form { family: "Adadelta", slots: 2, gradient: 6 },
    Form { family: "RMSProp", slots: 2, gradient: 7 },
    Form { family: "CenteredRMSProp", slots: 3, gradient: 8 },
    Form { family: "Ftrl", slots: 2, gradient: 3 },
    Form { family: "FtrlV2", slots: 2, gradient: 3 },
    Form { family: "PowerSign", slots: 1, gradient: 6 },
    Form { family: "AddSign", slots: 1, gradient: 6 },
    Form { family: "ProximalGradientDescent", slots: 0, gradient: 4 },
    Form { family: "ProximalAdagrad", slots: 1, gradient: 5 },
];

/// Attributes that choose between forms of a rule.
#[derive(Clone, Copy)]
struct Switches {
    nesterov: bool,
    update_slots: bool,
}

impl Form {
    /// The rule with the numbers of a step: `p(i)` is the one in input `i` of the dense form.
    fn rule(&self, switches: Switches, p: impl Fn(usize) -> Result<f32, OpError>) -> Result<Rule, OpError> {
        let Switches { nesterov, update_slots } = switches;
        // Adam's bias correction from the powers of its decays.
        let alpha = |lr: f32, beta1_power: f32, beta2_power: f32| {
            lr * (1.0 - beta2_power).sqrt() / (1.0 - beta1_power)
        };
        Ok(match self.family {
            "GradientDescent" => Rule::GradientDescent { lr: p(1)? },
            "Momentum" => Rule::Momentum { lr: p(2)?, momentum: p(4)?, nesterov },
            "KerasMomentum" => Rule::KerasMomentum { lr: p(2)?, momentum: p(4)?, nesterov },
            "Adam" => Rule::Adam {
                alpha: alpha(p(5)?, p(3)?, p(4)?),
                beta1: p(6)?,
                beta2: p(7)?,
                epsilon: p(8)?,
                nesterov,
            },
            "AdamWithAmsgrad" => Rule::AmsGrad {
                alpha: alpha(p(6)?, p(4)?, p(5)?),
                beta1: p(7)?,
                beta2: p(8)?,
                epsilon: p(9)?,
            },
            "AdaMax" => {
                Rule::AdaMax { alpha: p(4)? / (1.0 - p(3)?), beta1: p(5)?, beta2: p(6)?, epsilon: p(7)? }
            }
            "Adagrad" => Rule::Adagrad { lr: p(2)?, epsilon: 0.0, update: update_slots },
            "AdagradV2" => Rule::Adagrad { lr: p(2)?, epsilon: p(3)?, update: update_slots },
            "Adadelta" => Rule::Adadelta { lr: p(3)?, rho: p(4)?, epsilon: p(5)? },
            "RMSProp" => Rule::RmsProp { lr: p(3)?, rho: p(4)?, momentum: p(5)?, epsilon: p(6)? },
            "CenteredRMSProp" => {
                Rule::CenteredRmsProp { lr: p(4)?, rho: p(5)?, momentum: p(6)?, epsilon: p(7)? }
            }
            "Ftrl" => Rule::Ftrl { lr: p(4)?, l1: p(5)?, l2: p(6)?, shrinkage: 0.0, power: p(7)? },
            "FtrlV2" => Rule::Ftrl { lr: p(4)?, l1: p(5)?, l2: p(6)?, shrinkage: p(7)?, power: p(8)? },
            "PowerSign" => Rule::PowerSign { lr: p(2)?, log_base: p(3)?, decay: p(4)?, beta: p(5)? },
            "AddSign" => Rule::AddSign { lr: p(2)?, alpha: p(3)?, decay: p(4)?, beta: p(5)? },
            "ProximalGradientDescent" => Rule::ProximalGradientDescent { lr: p(1)?, l1: p(2)?, l2: p(3)? },
            "ProximalAdagrad" => Rule::ProximalAdagrad { lr: p(2)?, l1: p(3)?, l2: p(4)? },
            other => return Err(OpError::unsupported(format!("the optimizer {other}"))),
        })
    }
}

fn lower(node: &Node<'_>, cx: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let name = tf_name(node);
    let unknown = || OpError::unsupported(format!("the optimizer {name}"));
    let (sparse, family) = match name.strip_prefix("ResourceSparseApply") {
        Some(family) => (true, family),
        None => (false, name.strip_prefix("ResourceApply").ok_or_else(unknown)?),
    };
    let form = *FORMS.iter().find(|f| f.family == family).ok_or_else(unknown)?;
    let def = NodeDef::of(node)?;
    if def.bool("multiply_linear_by_lr", false)? {
        return Err(OpError::unsupported("FTRL with 'multiply_linear_by_lr': export the model without it"));
    }
    let switches = Switches {
        nesterov: def.bool("use_nesterov", false)?,
        update_slots: def.bool("update_slots", true)?,
    };
    let cpu = cx.cpu;
    let kernel =
        FnKernel::new(format!("f32_{name}_{}", cpu.name()), move |io: &mut Io<'_>, cx: &mut dyn Context| {
            let inputs = io.inputs;
            // The indices stand behind the gradient and move what follows by one.
            let rule =
                form.rule(switches, |i| number(&inputs, i + usize::from(sparse && i > form.gradient)))?;
            let gradient = inputs.get::<f32>(form.gradient)?;
            let handles: Vec<u32> = (0..=form.slots).map(|i| inputs.handle(i)).collect::<Result<_, _>>()?;
            with_variables(cx.resources(), &handles, |variables| {
                if sparse {
                    let indices = sizes(&inputs, form.gradient + 1)?;
                    step_rows(cpu, rule, variables, gradient, &indices)
                } else {
                    step(cpu, rule, variables, gradient)
                }
            })
        });
    Ok(kernel.boxed())
}

/// The variable and its slots as slices of equal length.
fn slices(variables: &mut [TensorValue]) -> Result<(&mut [f32], [&mut [f32]; 3]), OpError> {
    let mut slots: [&mut [f32]; 3] = Default::default();
    let (first, rest) = variables.split_first_mut().ok_or_else(|| OpError::invalid("no variable"))?;
    let variable = first.elements_mut::<f32>()?;
    for (slot, value) in slots.iter_mut().zip(rest) {
        *slot = value.elements_mut::<f32>()?;
        if slot.len() != variable.len() {
            return Err(OpError::runtime("an optimizer's slot has another size than its variable"));
        }
    }
    Ok((variable, slots))
}

fn step(cpu: Cpu, rule: Rule, variables: &mut [TensorValue], gradient: &[f32]) -> Result<(), OpError> {
    let (variable, slots) = slices(variables)?;
    if gradient.len() != variable.len() {
        return Err(OpError::runtime("the gradient has another size than its variable"));
    }
    rule.step(cpu, variable, slots, gradient);
    Ok(())
}

fn step_rows(
    cpu: Cpu,
    rule: Rule,
    variables: &mut [TensorValue],
    gradient: &[f32],
    indices: &[usize],
) -> Result<(), OpError> {
    let rows = variables.first().and_then(|v| v.shape().first().copied()).unwrap_or(0);
    let (variable, [a, b, c]) = slices(variables)?;
    let width = variable.len() / rows.max(1);
    if gradient.len() != indices.len() * width {
        return Err(OpError::runtime("the gradient is not a row for each index"));
    }
    for (&index, gradient) in indices.iter().zip(gradient.chunks_exact(width.max(1))) {
        check_row(index, rows)?;
        let at = index * width..(index + 1) * width;
        let part = |slot: &'_ mut [f32]| -> core::ops::Range<usize> {
            if slot.is_empty() { 0..0 } else { at.clone() }
        };
        let (ra, rb, rc) = (part(a), part(b), part(c));
        rule.step(cpu, &mut variable[at.clone()], [&mut a[ra], &mut b[rb], &mut c[rc]], gradient);
    }
    Ok(())
}
